"""Evaluators of detections in COCO's style and in LVIS's, behind detectron2's interface.

They return the numbers of detectron2's `COCOEvaluator` and `LVISEvaluator` but need less time and memory: they keep the
detections in arrays, only rank 0 reads the ground truth, and the fastest installed package computes the scores.
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

from ..catalogs import require_registered
from ..coco_file import read_coco_file
from .backends import COCO_BACKENDS, COCO_METRICS, LVIS_BACKENDS, LVIS_METRICS, SHAPES, Backend, choose_backend
from .detections import DetectionTable
from .saved import SavedDetections, Scored

AP_OF = "AP-"  # prefix of the metrics of single classes

logger = logging.getLogger(__name__)


class DetectionEvaluator(DatasetEvaluator):
    """Collects the detections of all processes and scores them: boxes, and also masks if the model predicts masks.

    Args:
        dataset_name: the data set's name in detectron2's catalogs, or a sequence that holds this one name. The
            metadata under that name must have the path of an annotation file, `json_file`.
        backend: the package that computes the numbers, one of `backends`. "auto" takes the first that is installed.
        max_dets: how many detections count: per image and class in COCO style, per image in LVIS style. None takes
            `default_max_dets`.
        output_dir: the folder in which to write the detections in COCO's result format, which evaluation servers
            accept. None writes no file.

    Attributes:
        detections: what the last `evaluate` scored, on rank 0; else None.

    Raises:
        ValueError: the back end is not installed, `max_dets` is too low, `dataset_name` holds several names, or the
            data set has no annotation file.
        FileNotFoundError: files of the data set are missing. The error says how to get them.
    """

    # Each style sets these.
    style: ClassVar[str]  # its name in `saved.SCORERS`
    backends: ClassVar[Mapping[str, type[Backend]]]
    metrics: ClassVar[tuple[str, ...]]  # the metrics over all classes
    results_file: ClassVar[str]
    first_category_id: ClassVar[int]  # the id of class 0, unless the metadata map ids to classes
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
        self._parts: list[DetectionTable] = []
        self.detections: DetectionTable | None = None

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Keeps the detections in a batch of images.

        Args:
            inputs: the model's inputs, each with the "image_id" of the annotation file.
            outputs: the model's outputs in the same order, each with the detections as "instances".
        """
        for image, output in zip(inputs, outputs, strict=True):
            detections = DetectionTable.from_instances(image["image_id"], output["instances"], self._category_ids)
            self._parts.append(self._limit(detections))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Scores the detections of all processes. Every process must call it.

        Returns:
            `results[task][metric]` for the tasks "bbox" and, if the model predicts masks, "segm", with the metrics of
            `metric_names(task)`. A value is in [0, 100]. It is NaN where the ground truth has no object to measure
            with. The dict is empty on all ranks but 0, if no image was processed, and if the data set has no
            annotations.
        """
        comm.synchronize()
        parts = list(itertools.chain(*comm.gather(self._parts, dst=0)))
        if not comm.is_main_process():
            return {}
        if not parts:
            logger.warning(f"There are no predictions for {self._name}.")
            return {}
        if self._output_dir:
            self._write(parts, self._output_dir)
        ground_truth = self.backends[self.backend](self._json_file)
        if not ground_truth.has_annotations():
            logger.info(f"{self._name} has no annotations to evaluate with.")
            return {}
        detections = self.detections = DetectionTable.concatenate(parts)
        size = f"{len(detections)} detections in {len(parts)} images, {detections.nbytes / 1e6:.1f} MB"
        logger.info(f"Evaluating {size}, with {self.backend}")
        tasks = ("bbox",) if detections.masks is None else ("bbox", "segm")
        return {task: self._score(ground_truth, detections, task) for task in tasks}

    def metric_names(self, task: str) -> tuple[str, ...]:
        """Returns the names of the metrics that `evaluate` will return for a task.

        It reads the annotation file only if the metadata do not have the class names yet.

        Args:
            task: "bbox" or "segm".

        Raises:
            ValueError: the task is another one.
        """
        if task not in SHAPES:
            raise ValueError(f"task is {task!r}; it must be one of {', '.join(map(repr, SHAPES))}")
        return (*self.metrics, *self._listed_classes().values())

    def saved_detections(self, facts: dict[str, Any]) -> SavedDetections | None:
        """Returns what the last `evaluate` scored, for a file; None if it scored nothing, and on all ranks but 0.

        Args:
            facts: what else is to be told about the evaluation, as JSON values.
        """
        if self.detections is None:
            return None
        names = self._metadata.get("thing_classes") or [str(id) for id in self._category_ids]
        image_root = os.path.abspath(self._metadata.get("image_root") or ".")
        ids, files = self._category_ids.tolist(), (os.path.abspath(self._json_file), image_root)
        scored = Scored(self._name, *files, self.style, self._max_dets, ids, list(names))
        return SavedDetections(self.detections, scored, facts)

    @cached_property
    def _category_ids(self) -> np.ndarray:
        """(K,) the data set's id of each class. Some data sets have these ids only after they are loaded."""
        return self._find_category_ids()

    def _find_category_ids(self) -> np.ndarray:
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

    def _write(self, parts: Sequence[DetectionTable], folder: str) -> None:
        """Writes one image's detections at a time, because all at once would take many times the arrays' memory."""
        PathManager.mkdirs(folder)
        path = os.path.join(folder, self.results_file)
        logger.info(f"Writing the detections to {path}")
        texts = (json.dumps(part.to_dicts("bbox", "segmentation"), default=bytes.decode)[1:-1] for part in parts)
        with PathManager.open(path, "w") as file:
            file.write("[")
            for count, text in enumerate(filter(None, texts)):
                file.write(f", {text}" if count else text)
            file.write("]")

    def _score(self, ground_truth: Backend, detections: DetectionTable, task: str) -> dict[str, float]:
        """Returns the value of each of `metric_names(task)`, and logs them."""
        if not len(detections):
            logger.warning("No predictions from the model!")
            return dict.fromkeys(self.metric_names(task), float("nan"))
        scores = ground_truth.score(detections, task, self._max_dets)
        numbers = {name: _percent(value) for name, value in scores.summary.items()}
        results = {name: numbers.pop(name) for name in self.metrics}
        logger.info(f"Evaluation results for {task}: \n" + create_small_table(results))
        logger.info(f"Recall of {task}: \n" + create_small_table(numbers))
        per_class = {
            name: _percent(scores.per_category.get(category_id, -1))
            for category_id, name in self._listed_classes().items()
        }
        if per_class:
            rows = [(name.removeprefix(AP_OF), value) for name, value in per_class.items()]
            logger.info(f"Per-category {task} AP: \n" + _table(rows))
        return results | per_class

    @abstractmethod
    def _limit(self, detections: DetectionTable) -> DetectionTable:
        """Returns those detections of an image that can count."""

    @abstractmethod
    def _listed_classes(self) -> dict[int, str]:
        """Returns category id -> name of the metric, "AP-<class>", for every class whose AP the results list."""


class CocoStyleEvaluator(DetectionEvaluator):
    """COCO's average precision, for any data set in COCO's format.

    The results list the AP of every class, "AP-<class>", if there are two classes or more and 1,000 at most. V3Det's
    13,204 classes would bury all other numbers in logs and curves. If several classes have one name, the category id
    follows the name, as in "AP-door (4711)".
    """

    style = "coco"
    backends = COCO_BACKENDS
    metrics = COCO_METRICS
    results_file = "coco_instances_results.json"
    first_category_id = 0
    default_max_dets = 100
    lowest_max_dets = 11  # the recall at 1 and at 10 detections is computed as well
    most_classes_listed = 1000

    def _limit(self, detections: DetectionTable) -> DetectionTable:
        return detections

    def _listed_classes(self) -> dict[int, str]:
        names = self._metadata.get("thing_classes")
        if names is not None:
            ids = self._find_category_ids().tolist()
        else:  # Loading the data set will take the classes from the annotation file, in the order of their ids.
            categories = read_coco_file(self._json_file)["categories"]
            ids, names = zip(*sorted((category["id"], category["name"]) for category in categories), strict=True)
        if not 1 < len(names) <= self.most_classes_listed:
            return {}
        times = Counter(names)
        named = zip(ids, names, strict=True)
        return {id: f"{AP_OF}{name} ({id})" if times[name] > 1 else f"{AP_OF}{name}" for id, name in named}


class LvisStyleEvaluator(DetectionEvaluator):
    """LVIS's average precision.

    A class is scored in those images only that were annotated for it. APr, APc and APf are the AP over the rare, the
    common and the frequent classes.
    """

    style = "lvis"
    backends = LVIS_BACKENDS
    metrics = LVIS_METRICS
    results_file = "lvis_instances_results.json"
    first_category_id = 1
    default_max_dets = 300
    lowest_max_dets = 1

    def _limit(self, detections: DetectionTable) -> DetectionTable:
        return detections.highest(self._max_dets)

    def _listed_classes(self) -> dict[int, str]:
        return {}


def _percent(value: float) -> float:
    """Returns percent of a share, and NaN of the -1 that back ends give where nothing was measured."""
    return value * 100 if value >= 0 else float("nan")


def _table(rows: Sequence[tuple[str, float]]) -> str:
    """Returns a table of (category, AP) pairs, up to three pairs in a line."""
    columns = min(3, len(rows))
    lines = [list(itertools.chain(*rows[i : i + columns])) for i in range(0, len(rows), columns)]
    headers = ["category", "AP"] * columns
    return tabulate(lines, tablefmt="pipe", floatfmt=".3f", headers=headers, numalign="left")
