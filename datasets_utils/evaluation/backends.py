"""The packages that compute average precision from detections, behind one interface.

pycocotools and lvis are the official packages of COCO and LVIS. hotcoco gives the same numbers to the last bit in less
time and memory; `tools/benchmark_evaluators.py` measures how much less. A package is imported only when it is used.
"""

import contextlib
import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from detectron2.evaluation.coco_evaluation import COCOevalMaxDets

from .detections import DetectionTable

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
LVIS_METRICS = (*COCO_METRICS, "APr", "APc", "APf")
# COCO's result format has a detection's box or mask under this key, by the task that scores it.
SHAPES = {"bbox": "bbox", "segm": "segmentation"}


class Scores(NamedTuple):
    """What a back end measured in one task.

    Attributes:
        summary: the value of each metric, in [0, 1]. It is -1 where the ground truth has no object to measure with.
        per_category: the AP of each category id, in [0, 1]. It is NaN where the ground truth has no object of the
            category. LVIS style leaves the dict empty.
    """

    summary: dict[str, float]
    per_category: dict[int, float]


class Backend(ABC):
    """Scores detections against an annotation file.

    Args:
        json_file: path of the annotation file, in COCO's format or LVIS's.
    """

    @abstractmethod
    def __init__(self, json_file: str) -> None: ...

    @abstractmethod
    def has_annotations(self) -> bool:
        """Returns whether the file has annotations. A test set's file usually has none."""

    @abstractmethod
    def score(self, detections: DetectionTable, task: str, max_dets: int) -> Scores:
        """Scores detections, of which there must be at least one.

        Args:
            detections: the detections of all images.
            task: "bbox" compares boxes; "segm" compares masks and takes a detection's area from its mask.
            max_dets: COCO style counts this many detections per image and class. LVIS style expects that no image has
                more detections than this.
        """


class HotCoco(Backend):
    """hotcoco in COCO style. It is written in Rust and reads detections from arrays."""

    def __init__(self, json_file: str) -> None:
        import hotcoco

        self.ground_truth = hotcoco.COCO(json_file)

    def has_annotations(self) -> bool:
        return bool(self.ground_truth.get_ann_ids())

    def score(self, detections: DetectionTable, task: str, max_dets: int) -> Scores:
        evaluation = self.evaluation(detections, task, max_dets)
        return Scores(_coco_summary(evaluation.stats, max_dets), self._per_category(evaluation))

    def evaluation(
        self, detections: DetectionTable, task: str, max_dets: int, category_ids: Sequence[int] | None = None
    ) -> Any:
        """Returns hotcoco's evaluation, a `hotcoco.COCOeval` that has run; it has diagnostics beyond `score`.

        hotcoco gives detection number n of the table, from 0, the id n + 1.

        Args:
            detections, task, max_dets: as in `score`; there may be no detection.
            category_ids: the categories to evaluate; None takes all.
        """
        from hotcoco import COCOeval

        evaluation = COCOeval(self.ground_truth, self._load(detections, task), task)
        if category_ids is not None:
            evaluation.params.cat_ids = list(category_ids)
        self._run(evaluation, [1, 10, max_dets])
        return evaluation

    def _load(self, detections: DetectionTable, task: str) -> Any:
        if task == "bbox":
            return self.ground_truth.load_res(detections.to_array())
        import hotcoco

        masks = detections.run_lengths()
        results = self.ground_truth.load_res(detections.to_array(), segmentation=list(masks))
        results.update_anns(ids=np.arange(len(masks)) + 1, area=np.asarray(hotcoco.mask.area(masks), dtype=np.float64))
        return results

    @staticmethod
    def _run(evaluation: Any, max_dets: list[int]) -> None:
        evaluation.params.max_dets = max_dets
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summary_lines()  # computes the summary without printing it

    def _per_category(self, evaluation: Any) -> dict[int, float]:
        # hotcoco reports AP by class name. Its array of precisions has them by id, but to read that array is to copy
        # it: 2.6 GB for V3Det's 13,204 classes. So only classes that share a name are evaluated again, by id.
        by_name = evaluation.results(per_class=True)["per_class"]
        names = {
            category["id"]: category["name"]
            for category in self.ground_truth.load_cats(self.ground_truth.get_cat_ids())
        }
        times = Counter(names.values())
        repeated = sorted(id for id, name in names.items() if times[name] > 1)
        per_category = {id: by_name.get(name, float("nan")) for id, name in names.items()}
        return per_category | (self._of_categories(evaluation, repeated) if repeated else {})

    def _of_categories(self, evaluation: Any, category_ids: list[int]) -> dict[int, float]:
        """Returns the AP of these categories, which it evaluates once more without the others."""
        from hotcoco import COCOeval

        part: Any = COCOeval(self.ground_truth, evaluation.coco_dt, evaluation.params.iou_type)
        part.params.cat_ids = category_ids
        self._run(part, evaluation.params.max_dets)
        return _ap_per_category(part.eval["precision"], part.params.cat_ids)


class HotCocoLvis(HotCoco):
    """hotcoco in LVIS style."""

    def score(self, detections: DetectionTable, task: str, max_dets: int) -> Scores:
        evaluation = self.evaluation(detections, task, max_dets)
        return Scores(_lvis_summary(evaluation.stats, max_dets), {})

    def evaluation(
        self, detections: DetectionTable, task: str, max_dets: int, category_ids: Sequence[int] | None = None
    ) -> Any:
        from hotcoco import LVISEval

        # LVISEval keeps 300 detections per image of results that are not marked as limited. This marks them.
        results = self._load(detections, task).cap_detections_per_image(None)
        evaluation = LVISEval(self.ground_truth, results, task)
        if category_ids is not None:
            evaluation.params.cat_ids = list(category_ids)
        self._run(evaluation, [max_dets])
        return evaluation


class PyCocoTools(Backend):
    """pycocotools, the official package of COCO."""

    def __init__(self, json_file: str) -> None:
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            self.ground_truth = COCO(json_file)

    def has_annotations(self) -> bool:
        return bool(self.ground_truth.anns)

    def score(self, detections: DetectionTable, task: str, max_dets: int) -> Scores:
        with contextlib.redirect_stdout(io.StringIO()):
            results = self.ground_truth.loadRes(detections.to_dicts(SHAPES[task]))
            evaluation = COCOevalMaxDets(self.ground_truth, results, task)
            evaluation.params.maxDets = [1, 10, max_dets]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        per_category = _ap_per_category(evaluation.eval["precision"], evaluation.params.catIds)
        return Scores(_coco_summary(evaluation.stats, max_dets), per_category)


class LvisPackage(Backend):
    """lvis, the official package of LVIS."""

    def __init__(self, json_file: str) -> None:
        from lvis import LVIS

        try:
            self.ground_truth = LVIS(json_file)
        except KeyError as error:
            if error.args != ("annotations",):
                raise
            self.ground_truth = None  # the file of a test set, which has no list of annotations

    def has_annotations(self) -> bool:
        return self.ground_truth is not None and bool(self.ground_truth.anns)

    def score(self, detections: DetectionTable, task: str, max_dets: int) -> Scores:
        from lvis import LVISEval, LVISResults

        results = LVISResults(self.ground_truth, detections.to_dicts(SHAPES[task]), max_dets=-1)
        evaluation = LVISEval(self.ground_truth, results, task)
        evaluation.params.max_dets = max_dets
        # lvis 0.5.3 uses np.float, which NumPy removed in 1.24.
        with mock.patch.object(np, "float", float, create=True):
            evaluation.run()
        return Scores({name: float(value) for name, value in evaluation.get_results().items()}, {})


# The back ends of each style under their package's name. "auto" takes the first that is installed.
COCO_BACKENDS: dict[str, type[Backend]] = {"hotcoco": HotCoco, "pycocotools": PyCocoTools}
LVIS_BACKENDS: dict[str, type[Backend]] = {"hotcoco": HotCocoLvis, "lvis": LvisPackage}


def choose_backend(name: str, backends: Mapping[str, type[Backend]]) -> str:
    """Returns the name of an installed back end: `name` itself, or for "auto" the first of `backends`.

    Raises:
        ValueError: `backends` has no such name, or the package is not installed.
    """
    installed = [package for package in backends if find_spec(package)]
    if name == "auto" and installed:
        return installed[0]
    if name in installed:
        return name
    problem = "is not installed" if name in backends else "does not exist"
    raise ValueError(
        f"the evaluation back end {name!r} {problem}; there are 'auto', {_quoted(backends)}, "
        f"and installed are {_quoted(installed) or 'none'}"
    )


def _quoted(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names))


def _coco_summary(stats: Iterable[float], max_dets: int) -> dict[str, float]:
    """Returns COCO's 12 numbers by their names."""
    recalls = ("AR1", "AR10", f"AR{max_dets}", "ARs", "ARm", "ARl")
    return dict(zip((*COCO_METRICS, *recalls), map(float, stats), strict=True))


def _lvis_summary(stats: Iterable[float], max_dets: int) -> dict[str, float]:
    """Returns LVIS's 13 numbers by their names."""
    recalls = (f"AR{area}@{max_dets}" for area in ("", "s", "m", "l"))
    return dict(zip((*LVIS_METRICS, *recalls), map(float, stats), strict=True))


def _ap_per_category(precision: np.ndarray, category_ids: Sequence[int]) -> dict[int, float]:
    """Returns each category's AP, the mean precision of objects of any size at the highest limit of detections.

    Args:
        precision: (IoU thresholds, recalls, categories, areas, limits). -1 stands where a category has no object.
        category_ids: the ids along the third axis.
    """
    per_category = {}
    for index, category_id in enumerate(category_ids):
        values = precision[:, :, index, 0, -1]
        values = values[values > -1]
        per_category[int(category_id)] = float(np.mean(values)) if len(values) else float("nan")
    return per_category
