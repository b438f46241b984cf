"""The packages that compute average precision from detections, behind one interface.

They differ in time and memory. hotcoco's numbers are those of the official packages to the last bit; faster-coco-eval
rounds precision otherwise, which is seen in the 16th digit. `tools/benchmark_evaluators.py` compares them. Each is
imported when it is used.
"""

import contextlib
import io
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from detectron2.evaluation.coco_evaluation import COCOevalMaxDets

from .detections import Detections

logger = logging.getLogger(__name__)

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
LVIS_METRICS = (*COCO_METRICS, "APr", "APc", "APf")
SHAPES = {"bbox": "bbox", "segm": "segmentation"}  # the key of a result that counts in a task


class Scores(NamedTuple):
    """Numbers of one task.

    Attributes:
        summary: metric to value in [0, 1], -1 where the ground truth has nothing to measure it by.
        per_category: category id to AP, NaN where -1 stands in the summary; empty in LVIS style.
    """

    summary: dict[str, float]
    per_category: dict[int, float]


class Backend(ABC):
    """Scores detections against the annotations of a file.

    Args:
        json_file: annotations in the format of COCO or LVIS.
    """

    @abstractmethod
    def __init__(self, json_file: str) -> None: ...

    @abstractmethod
    def has_annotations(self) -> bool:
        """Returns whether the file has annotations; that of a test set has none."""

    @abstractmethod
    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        """Scores one or more detections.

        Args:
            task: "bbox", or "segm" for masks, whose area is then that of the mask.
            max_dets: in COCO style, how many detections per image and class count; in LVIS style, how many an image
                has at most.
        """


class HotCoco(Backend):
    """hotcoco, in Rust: takes arrays, and is the fastest and smallest."""

    def __init__(self, json_file: str) -> None:
        import hotcoco

        self.ground_truth = hotcoco.COCO(json_file)

    def has_annotations(self) -> bool:
        return bool(self.ground_truth.get_ann_ids())

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        from hotcoco import COCOeval

        evaluation = COCOeval(self.ground_truth, self._load(detections, task), task)
        self._run(evaluation, [1, 10, max_dets])
        return Scores(_coco_summary(evaluation.stats, max_dets), self._per_category(evaluation))

    def _load(self, detections: Detections, task: str) -> Any:
        if task == "bbox":
            return self.ground_truth.load_res(detections.to_array())
        import hotcoco

        masks = detections.run_lengths()
        results = self.ground_truth.load_res(detections.to_array(), segmentation=masks)
        results.update_anns(ids=np.arange(len(masks)) + 1, area=np.asarray(hotcoco.mask.area(masks), dtype=np.float64))
        return results

    @staticmethod
    def _run(evaluation: Any, max_dets: list[int]) -> None:
        evaluation.params.max_dets = max_dets
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summary_lines()  # summarizes without printing

    def _per_category(self, evaluation: Any) -> dict[int, float]:
        # By name: reading the precision would copy arrays of 2.6 GB where there are 13,204 classes.
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
        """AP of some categories, from an evaluation of these alone."""
        from hotcoco import COCOeval

        part = COCOeval(self.ground_truth, evaluation.coco_dt, evaluation.params.iou_type)
        part.params.cat_ids = category_ids
        self._run(part, evaluation.params.max_dets)
        return _ap_per_category(part.eval["precision"], part.params.cat_ids)


class HotCocoLvis(HotCoco):
    """hotcoco in LVIS style."""

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        from hotcoco import LVISEval

        # Marks the results as limited already; else the limit would be 300.
        results = self._load(detections, task).cap_detections_per_image(None)
        evaluation = LVISEval(self.ground_truth, results, task)
        self._run(evaluation, [max_dets])
        return Scores(_lvis_summary(evaluation.stats, max_dets), {})


class FasterCocoEval(Backend):
    """faster-coco-eval, in C++."""

    def __init__(self, json_file: str) -> None:
        from faster_coco_eval import COCO

        self.ground_truth = COCO(json_file)

    def has_annotations(self) -> bool:
        return bool(self.ground_truth.anns)

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        evaluation = self._run(detections, task, [1, 10, max_dets], lvis_style=False)
        per_category = _ap_per_category(evaluation.eval["precision"], evaluation.params.catIds)
        return Scores(_coco_summary(evaluation.stats, max_dets), per_category)

    def _run(self, detections: Detections, task: str, max_dets: list[int], *, lvis_style: bool) -> Any:
        from faster_coco_eval import COCOeval_faster

        results = self.ground_truth.loadRes(detections.to_dicts(SHAPES[task]))
        evaluation = COCOeval_faster(
            self.ground_truth, results, task, lvis_style=lvis_style, print_function=logger.debug
        )
        evaluation.params.maxDets = max_dets
        evaluation.run()
        return evaluation


class FasterCocoEvalLvis(FasterCocoEval):
    """faster-coco-eval in LVIS style."""

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        stats = self._run(detections, task, [max_dets], lvis_style=True).all_stats
        # Three places are kept for recalls at several limits of detections; one is used.
        places = (*range(6), 14, 15, 16, 6, 9, 10, 11)
        return Scores(_lvis_summary(stats[list(places)], max_dets), {})


class PyCocoTools(Backend):
    """pycocotools, COCO's own."""

    def __init__(self, json_file: str) -> None:
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            self.ground_truth = COCO(json_file)

    def has_annotations(self) -> bool:
        return bool(self.ground_truth.anns)

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
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
    """lvis, LVIS's own."""

    def __init__(self, json_file: str) -> None:
        from lvis import LVIS

        try:
            self.ground_truth = LVIS(json_file)
        except KeyError as error:
            if error.args != ("annotations",):
                raise
            self.ground_truth = None

    def has_annotations(self) -> bool:
        return self.ground_truth is not None and bool(self.ground_truth.anns)

    def score(self, detections: Detections, task: str, max_dets: int) -> Scores:
        from lvis import LVISEval, LVISResults

        results = LVISResults(self.ground_truth, detections.to_dicts(SHAPES[task]), max_dets=-1)
        evaluation = LVISEval(self.ground_truth, results, task)
        evaluation.params.max_dets = max_dets
        # lvis 0.5.3 says np.float, which NumPy 1.24 took away.
        with mock.patch.object(np, "float", float, create=True):
            evaluation.run()
        return Scores({name: float(value) for name, value in evaluation.get_results().items()}, {})


# By the package's name; the first that is installed is the default.
COCO_BACKENDS: dict[str, type[Backend]] = {
    "hotcoco": HotCoco,
    "faster-coco-eval": FasterCocoEval,
    "pycocotools": PyCocoTools,
}
LVIS_BACKENDS: dict[str, type[Backend]] = {
    "hotcoco": HotCocoLvis,
    "faster-coco-eval": FasterCocoEvalLvis,
    "lvis": LvisPackage,
}


def choose_backend(name: str, backends: Mapping[str, type[Backend]]) -> str:
    """Returns the name of an installed back end: `name`, or the first of `backends` for "auto".

    Raises:
        ValueError: `name` is not among `backends`, or not installed.
    """
    installed = [package for package in backends if find_spec(package.replace("-", "_"))]
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


def _coco_summary(stats: np.ndarray, max_dets: int) -> dict[str, float]:
    """Names COCO's 12 numbers."""
    recalls = ("AR1", "AR10", f"AR{max_dets}", "ARs", "ARm", "ARl")
    return dict(zip((*COCO_METRICS, *recalls), stats.tolist(), strict=True))


def _lvis_summary(stats: np.ndarray, max_dets: int) -> dict[str, float]:
    """Names LVIS's 13 numbers."""
    recalls = (f"AR{area}@{max_dets}" for area in ("", "s", "m", "l"))
    return dict(zip((*LVIS_METRICS, *recalls), stats.tolist(), strict=True))


def _ap_per_category(precision: np.ndarray, category_ids: Sequence[int]) -> dict[int, float]:
    """Averages the precision, (thresholds, recalls, categories, areas, limits), over all areas at the highest limit."""
    per_category = {}
    for index, category_id in enumerate(category_ids):
        values = precision[:, :, index, 0, -1]
        values = values[values > -1]
        per_category[int(category_id)] = float(np.mean(values)) if len(values) else float("nan")
    return per_category
