"""Evaluators of detections, COCO style and LVIS style, behind detectron2's interface.

They give what detectron2's `COCOEvaluator` and `LVISEvaluator` give, and take less: detections are held as arrays, the
ground truth is read when they are all there and by rank 0 alone, and the fastest package that is installed scores them.
"""

import itertools
import json
import logging
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table
from tabulate import tabulate

from ..register import require_registered
from .backends import COCO_BACKENDS, COCO_METRICS, LVIS_BACKENDS, LVIS_METRICS, Backend, choose_backend
from .detections import Detections

logger = logging.getLogger(__name__)


class DetectionEvaluator(DatasetEvaluator):
    """Collects the detections of all processes and has them scored: boxes, and masks where the model predicts them.

    Args:
        dataset_name: a name in detectron2's catalogs, or a sequence of that one name. Its metadata name a `json_file`.
        backend: "auto", the fastest that is installed, or a name in `backends`.
        max_dets: how many detections count, per image and class in COCO style, per image in LVIS style. None takes the
            style's own number.
        output_dir: where to write the detections in COCO's result format, the file that evaluation servers take. None
            writes none.

    Raises:
        ValueError: the back end is not installed, `max_dets` is too low, the data set is not one or has no annotation
            file.
        FileNotFoundError: the data set is not there; says how to get it.
    """

    # What a style sets.
    backends: ClassVar[Mapping[str, type[Backend]]]
    metrics: ClassVar[tuple[str, ...]]
    results_file: ClassVar[str]
    first_category_id: ClassVar[int]  # where the metadata do not map classes to ids
    default_max_dets: ClassVar[int]
    lowest_max_dets: ClassVar[int]

    def __init__(
        self,
        dataset_name: str | Sequence[str],
        *,
        backend: str = "auto",
        max_dets: int | None = None,
        output_dir: str | None = None,
    ) -> None:
        names = [dataset_name] if isinstance(dataset_name, str) else list(dataset_name)
        if len(names) != 1:
            raise ValueError(f"dataset_name is {names}; it must be one data set")
        max_dets = self.default_max_dets if max_dets is None else max_dets
        if max_dets < self.lowest_max_dets:
            raise ValueError(f"max_dets is {max_dets}; it must be {self.lowest_max_dets} or more")
        self.backend = choose_backend(backend, self.backends)
        self._max_dets = max_dets
        self._output_dir = output_dir
        self._name = names[0]
        self._metadata = MetadataCatalog.get(self._name)
        self._json_file = self._find_annotations()
        self.reset()

    def reset(self) -> None:
        """Forgets all detections."""
        self._parts: list[Detections] = []

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Takes the `instances` of the outputs as the detections in the image `image_id` of the inputs."""
        for image, output in zip(inputs, outputs, strict=True):
            detections = Detections.from_instances(image["image_id"], output["instances"], self._category_ids)
            self._parts.append(self._limit(detections))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Scores the detections of all processes, which call this together.

        Returns:
            task ("bbox", "segm") -> metric -> value in [0, 100], NaN where the ground truth has nothing to measure it
            by. Empty beyond rank 0, without images, and for a data set without annotations.
        """
        comm.synchronize()
        parts = list(itertools.chain(*comm.gather(self._parts, dst=0)))
        if not comm.is_main_process():
            return {}
        if not parts:
            logger.warning(f"There are no predictions for {self._name}.")
            return {}
        if self._output_dir:
            self._write(parts)
        ground_truth = self.backends[self.backend](self._json_file)
        if not ground_truth.has_annotations():
            logger.info(f"{self._name} has no annotations to evaluate with.")
            return {}
        detections = Detections.concatenate(parts)
        size = f"{len(detections)} detections in {len(parts)} images, {detections.nbytes / 1e6:.1f} MB"
        logger.info(f"Evaluating {size}, with {self.backend}")
        tasks = ("bbox",) if detections.masks is None else ("bbox", "segm")
        return {task: self._score(ground_truth, detections, task) for task in tasks}

    @cached_property
    def _category_ids(self) -> np.ndarray:
        """(K,) the data set's id of each class; known once the data set is loaded, if not before."""
        classes = self._metadata.get("thing_dataset_id_to_contiguous_id")
        if classes is not None:
            return np.array(sorted(classes, key=classes.get))
        names = self._metadata.get("thing_classes")
        if names is None:
            raise ValueError(f"the metadata of {self._name!r} have no thing_classes: load the data set, or set them")
        return np.arange(len(names)) + self.first_category_id

    def _find_annotations(self) -> str:
        require_registered(self._name)
        json_file = self._metadata.get("json_file")
        if json_file is None:
            raise ValueError(f"{self._name!r} has no json_file in its metadata: it is no data set in COCO's format")
        path = PathManager.get_local_path(json_file)
        if not os.path.isfile(path):
            raise ValueError(f"the annotations of {self._name!r}, {path}, do not exist")
        return path

    def _write(self, parts: Sequence[Detections]) -> None:
        """Writes image by image: all results as Python objects would take many times the memory of the arrays."""
        PathManager.mkdirs(self._output_dir)
        path = os.path.join(self._output_dir, self.results_file)
        logger.info(f"Writing the detections to {path}")
        texts = (json.dumps(part.to_dicts("bbox", "segmentation"), default=bytes.decode)[1:-1] for part in parts)
        with PathManager.open(path, "w") as file:
            file.write("[")
            for count, text in enumerate(filter(None, texts)):
                file.write(f", {text}" if count else text)
            file.write("]")

    def _score(self, ground_truth: Backend, detections: Detections, task: str) -> dict[str, float]:
        if not len(detections):
            logger.warning("No predictions from the model!")
            return dict.fromkeys(self.metrics, float("nan"))
        scores = ground_truth.score(detections, task, self._max_dets)
        numbers = {name: _percent(value) for name, value in scores.summary.items()}
        results = {name: numbers.pop(name) for name in self.metrics}
        logger.info(f"Evaluation results for {task}: \n" + create_small_table(results))
        logger.info(f"Recall of {task}: \n" + create_small_table(numbers))
        return results | self._per_category(scores.per_category, task)

    @abstractmethod
    def _limit(self, detections: Detections) -> Detections:
        """Returns those of an image's detections that are kept."""

    @abstractmethod
    def _per_category(self, scores: dict[int, float], task: str) -> dict[str, float]:
        """Returns "AP-<class>" to value, and logs them."""


class CocoStyleEvaluator(DetectionEvaluator):
    """COCO's average precision, for any data set in its format, with the AP of every class up to 1,000 classes.

    More numbers than that, as V3Det's 13,204, would bury all others in logs and curves. Classes of the same name are
    told apart by the data set's id, as in "AP-door (4711)".
    """

    backends = COCO_BACKENDS
    metrics = COCO_METRICS
    results_file = "coco_instances_results.json"
    first_category_id = 0
    default_max_dets = 100
    lowest_max_dets = 11  # recall is given at 1 and 10 as well
    most_classes_listed = 1000

    def _limit(self, detections: Detections) -> Detections:
        return detections

    def _per_category(self, scores: dict[int, float], task: str) -> dict[str, float]:
        names = self._metadata.get("thing_classes", ())
        if not 1 < len(names) <= self.most_classes_listed:
            return {}
        times, ids = Counter(names), self._category_ids.tolist()
        names = [f"{name} ({id})" if times[name] > 1 else name for name, id in zip(names, ids, strict=True)]
        values = [_percent(scores.get(id, -1)) for id in ids]
        logger.info(f"Per-category {task} AP: \n" + _table(list(zip(names, values, strict=True))))
        return {f"AP-{name}": value for name, value in zip(names, values, strict=True)}


class LvisStyleEvaluator(DetectionEvaluator):
    """LVIS's average precision: a class counts in the images that were annotated for it, rare ones are set apart."""

    backends = LVIS_BACKENDS
    metrics = LVIS_METRICS
    results_file = "lvis_instances_results.json"
    first_category_id = 1
    default_max_dets = 300
    lowest_max_dets = 1

    def _limit(self, detections: Detections) -> Detections:
        return detections.highest(self._max_dets)

    def _per_category(self, scores: dict[int, float], task: str) -> dict[str, float]:
        return {}


def _percent(value: float) -> float:
    return value * 100 if value >= 0 else float("nan")


def _table(rows: Sequence[tuple[str, float]]) -> str:
    """Lays (category, AP) pairs out in up to three columns of pairs."""
    columns = min(3, len(rows))
    lines = [list(itertools.chain(*rows[i : i + columns])) for i in range(0, len(rows), columns)]
    headers = ["category", "AP"] * columns
    return tabulate(lines, tablefmt="pipe", floatfmt=".3f", headers=headers, numalign="left")
