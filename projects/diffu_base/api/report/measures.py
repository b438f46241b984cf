"""The numbers of a report. hotcoco computes them; this module asks for them and arranges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from datasets_utils.coco_file import read_coco_file
from datasets_utils.evaluation.detections import DetectionTable
from datasets_utils.evaluation.saved import SCORERS, SavedDetections

from .thresholds import IOU, ClassCurve, class_curves, correct_of, overall

MOST_CLASSES = 1000  # of more classes, those with the most objects are listed
MOST_CONFUSED = 25  # classes that the confusion matrix shows
# Names of columns, and where they lie in hotcoco's array of precisions: the index of the IoU threshold, None for the
# mean over all of them, and the index of the range of areas.
COLUMNS = {
    "AP": (None, 0), "AP50": (0, 0), "AP75": (5, 0), "small": (None, 1), "medium": (None, 2), "large": (None, 3)
}  # fmt: skip
CURVES = {"IoU 0.50": 0, "IoU 0.75": 5, "mean of IoU 0.50 to 0.95": None}


@dataclass(frozen=True)
class TaskNumbers:
    """What the report says of one task, boxes or masks.

    Attributes:
        metrics: the summary over all classes, in [0, 1]; None where there is no object to measure with.
        classes: a row for each listed class, see `_class_rows`.
        pr: per name of `CURVES`, the precision at 51 recalls from 0 to 1: first of all classes together, then of each
            listed class.
        f1: F1 at 101 thresholds from 0 to 1, of all classes together, then of each listed class.
        threshold: the one threshold that suits all classes best.
        tide, calibration: what hotcoco returns.
        confusion: names and counts of the most confused classes; None for a vocabulary of thousands of classes.
    """

    metrics: dict[str, float | None]
    classes: list[dict[str, Any]]
    pr: dict[str, list[list[float | None]]]
    f1: list[list[float]]
    threshold: float
    tide: dict[str, Any]
    calibration: dict[str, Any]
    confusion: dict[str, Any] | None


class Measures:
    """The numbers of a report on saved detections.

    Args:
        saved: the detections.

    Attributes:
        content: the annotation file's.
        images: image id -> the image's entry in the annotation file.
        annotations: image id -> the image's annotations.

    Raises:
        ValueError: see `read_coco_file`.
    """

    def __init__(self, saved: SavedDetections) -> None:
        self.saved = saved
        self.content = read_coco_file(saved.scored.json_file)
        self.images = {image["id"]: image for image in self.content["images"]}
        self.annotations: dict[int, list[dict]] = {id: [] for id in self.images}
        for annotation in self.content["annotations"]:
            self.annotations[annotation["image_id"]].append(annotation)
        self.categories = {annotation["id"]: annotation["category_id"] for annotation in self.content["annotations"]}
        self._scorer = SCORERS[saved.scored.style](saved.scored.json_file)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What was detected: boxes, and masks if the model predicts them."""
        return ("bbox",) if self.saved.table.masks is None else ("bbox", "segm")

    @cached_property
    def listed(self) -> list[int]:
        """The positions of the listed classes among the model's, in its order."""
        ids = self.saved.scored.category_ids
        counts = dict.fromkeys(ids, 0)
        for category in self.categories.values():
            counts[category] = counts.get(category, 0) + 1
        most = sorted(range(len(ids)), key=lambda position: -counts[ids[position]])[:MOST_CLASSES]
        return sorted(most)

    def evaluation(self, table: DetectionTable, task: str, category_ids: Sequence[int] | None = None) -> Any:
        """hotcoco's evaluation of some detections, as the saved ones were scored."""
        return self._scorer.evaluation(table, task, self.saved.scored.max_dets, category_ids)

    def curves(self, evaluation: Any) -> list[ClassCurve]:
        """F1 over the threshold of every class of the model, in its order."""
        diagnostics = evaluation.image_diagnostics(iou_thr=IOU)
        return class_curves(self.saved.table, diagnostics, self.categories, self.saved.scored.category_ids)

    @cached_property
    def box_curves(self) -> list[ClassCurve]:
        """`curves` of the boxes."""
        return self.curves(self.evaluation(self.saved.table, "bbox"))

    @cached_property
    def kept(self) -> DetectionTable:
        """The detections from their class's best threshold on; without one, from the best threshold of all classes."""
        _, common = overall(self.box_curves)
        ids = np.array(self.saved.scored.category_ids)
        thresholds = np.array([curve.best.threshold if curve.best else common for curve in self.box_curves])
        order = np.argsort(ids)
        position = order[np.searchsorted(ids[order], self.saved.table.category_ids)]
        return self.saved.table.select(self.saved.table.scores >= thresholds[position])

    @cached_property
    def kept_diagnostics(self) -> dict[str, Any]:
        """What hotcoco says of the kept boxes: which are correct, how well each image went, suspected label errors."""
        return self.evaluation(self.kept, "bbox").image_diagnostics(iou_thr=IOU)

    @cached_property
    def kept_correct(self) -> np.ndarray:
        """Verdicts on the kept boxes, see `correct_of`."""
        return correct_of(self.kept, self.kept_diagnostics["dt_status"])

    def numbers(self, task: str) -> TaskNumbers:
        """The numbers of a task."""
        scored = self.saved.scored
        evaluation = self.evaluation(self.saved.table, task)
        curves = self.box_curves if task == "bbox" else self.curves(evaluation)
        f1, threshold = overall(curves)
        listed = [scored.category_ids[position] for position in self.listed]
        few = len(listed) == len(scored.category_ids)
        part = evaluation if few else self.evaluation(self.saved.table, task, listed)
        calibration = evaluation.calibration(n_bins=10, iou_threshold=IOU)
        precision = _by_category(part, listed)
        metrics = {name: None if value < 0 else value for name, value in evaluation.results()["metrics"].items()}
        metrics["F1"] = evaluation.f_scores()["F1_50"]
        return TaskNumbers(
            metrics=metrics,
            classes=self._class_rows(precision, [curves[position] for position in self.listed], calibration),
            pr={name: _curves(precision, iou) for name, iou in CURVES.items()},
            f1=[_rounded(f1), *(_rounded(curves[position].f1) for position in self.listed)],
            threshold=threshold,
            tide=evaluation.tide_errors(),
            calibration={key: value for key, value in calibration.items() if key != "per_category"},
            confusion=self._confusion(task) if few else None,
        )

    def _class_rows(
        self, precision: np.ndarray, curves: Sequence[ClassCurve], calibration: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Per listed class its position among the model's classes, `name`, `objects`, `COLUMNS`, what it reaches at its
        best threshold, and its calibration error; None where nothing can be measured."""
        rows = []
        for index, (position, curve) in enumerate(zip(self.listed, curves, strict=True)):
            name = self.saved.scored.class_names[position]
            values = {column: _mean(precision[:, :, index], *where) for column, where in COLUMNS.items()}
            best = vars(curve.best) if curve.best else dict.fromkeys(("threshold", "f1", "precision", "recall"))
            error = calibration["per_category"].get(name)
            row = {"class": position, "name": name, "objects": curve.objects, **values, **best}
            rows.append({**row, "calibration": error})
        return rows

    def _confusion(self, task: str) -> dict[str, Any]:
        """Counts of the classes that are confused most, rows the truth; the last row and column are for no object."""
        found = self.evaluation(self.kept, task).confusion_matrix(iou_thr=IOU)
        counts = np.asarray(found["matrix"], dtype=np.int64)
        wrong = counts[:-1, :-1] * (1 - np.eye(len(counts) - 1, dtype=np.int64))
        shown = np.sort(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:MOST_CONFUSED])
        both = [*shown.tolist(), len(counts) - 1]
        names = [found["cat_names"][index] for index in shown]
        return {"names": names, "counts": counts[np.ix_(both, both)].tolist(), "classes": len(counts) - 1}


def _by_category(evaluation: Any, category_ids: Sequence[int]) -> np.ndarray:
    """Precisions (IoU thresholds, recalls, categories, areas) at the highest limit of detections, NaN where unknown."""
    order = {int(id): index for index, id in enumerate(evaluation.params.cat_ids)}
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    known = [order.get(id, -1) for id in category_ids]
    chosen = np.where((np.array(known) >= 0)[:, None], precision[:, :, known], -1.0)
    return np.where(chosen < 0, np.nan, chosen)


def _mean(precision: np.ndarray, iou: int | None, area: int) -> float | None:
    """The mean of a class's precisions (IoU thresholds, recalls, areas); None if there are none."""
    values = precision[:, :, area] if iou is None else precision[iou, :, area]
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _curves(precision: np.ndarray, iou: int | None) -> list[list[float | None]]:
    """Precision at every second recall: of all classes together, then of each."""
    of_all_sizes = precision[..., 0]
    by_class = (of_all_sizes.mean(axis=0) if iou is None else of_all_sizes[iou])[::2].T  # (K, 51)
    known = by_class[~np.isnan(by_class).any(axis=1)]
    together = known.mean(axis=0) if len(known) else np.full(by_class.shape[1], np.nan)
    return [_rounded(together), *map(_rounded, by_class)]


def _rounded(values: np.ndarray) -> list[Any]:
    return [None if np.isnan(value) else round(value, 3) for value in values.tolist()]
