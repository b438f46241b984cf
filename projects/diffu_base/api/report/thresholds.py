"""The score threshold that suits each class: the one with the best F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets_utils.evaluation.detections import DetectionTable

IOU = 0.5  # a detection is correct from this overlap on
GRID = np.linspace(0, 1, 101)  # the thresholds of curves


@dataclass(frozen=True)
class Operating:
    """How a class fares above one score.

    Attributes:
        threshold: detections from this score on count.
        f1, precision, recall: of these detections, in [0, 1].
    """

    threshold: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class ClassCurve:
    """F1 of a class over the threshold.

    Attributes:
        objects: how many objects of the class are annotated.
        f1: (101,) F1 at the thresholds `GRID`.
        best: the threshold with the highest F1; None if the class has no object or no correct detection.
    """

    objects: int
    f1: np.ndarray
    best: Operating | None


def class_curves(
    table: DetectionTable, diagnostics: dict[str, Any], categories: dict[int, int], category_ids: Sequence[int]
) -> list[ClassCurve]:
    """F1 over the threshold for each of `category_ids`.

    Args:
        table: the detections.
        diagnostics: what `hotcoco.COCOeval.image_diagnostics` says of them at the overlap `IOU`.
        categories: annotation id -> category id.
        category_ids: the categories, in the order of the result.
    """
    correct = correct_of(table, diagnostics["dt_status"])
    counted = correct >= 0
    objects: dict[int, int] = dict.fromkeys(category_ids, 0)
    for annotation, status in diagnostics["gt_status"].items():
        if status in ("matched", "fn") and categories[annotation] in objects:
            objects[categories[annotation]] += 1
    curves = []
    for category in category_ids:
        rows = np.flatnonzero(counted & (table.category_ids == category))
        curves.append(_curve(table.scores[rows], correct[rows], objects[category]))
    return curves


def correct_of(table: DetectionTable, status: dict[int, str]) -> np.ndarray:
    """(N,) int8 of hotcoco's verdicts: 1 for a correct detection, 0 for a false one, -1 for one that does not count."""
    verdicts = {"tp": 1, "fp": 0}
    correct = np.full(len(table), -1, dtype=np.int8)
    ids = np.fromiter(status, dtype=np.int64, count=len(status))
    correct[ids - 1] = [verdicts.get(value, -1) for value in status.values()]
    return correct


def _curve(scores: np.ndarray, correct: np.ndarray, objects: int) -> ClassCurve:
    """The curve of a class from its detections' scores (n,) and verdicts (n,)."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order].astype(np.float64), np.cumsum(correct[order], dtype=np.int64)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + max(objects, 1))
    kept = np.searchsorted(-scores, -GRID, side="right")  # detections from each threshold on
    on_grid = np.where(kept > 0, f1[np.maximum(kept, 1) - 1] if len(f1) else 0.0, 0.0)
    if not objects or not len(hits) or not hits[-1]:
        return ClassCurve(objects, on_grid, None)
    # A threshold cannot part equal scores, so only the last of them can be the one where it cuts.
    last = np.append(scores[1:] < scores[:-1], True)
    cut = int(np.argmax(np.where(last, f1, -1)))
    lower = scores[cut + 1] if cut + 1 < len(scores) else 0.0
    best = Operating(
        threshold=float(scores[cut] + lower) / 2,  # as far from the last kept score as from the first left out
        f1=float(f1[cut]),
        precision=float(hits[cut] / (cut + 1)),
        recall=float(hits[cut] / objects),
    )
    return ClassCurve(objects, on_grid, best)


def overall(curves: Sequence[ClassCurve]) -> tuple[np.ndarray, float]:
    """The mean F1 of the classes with objects at the thresholds `GRID`, (101,), and the threshold where it is best.

    Without any object, F1 is 0 and the threshold 0.5.
    """
    known = [curve.f1 for curve in curves if curve.objects]
    mean = np.mean(known, axis=0) if known else np.zeros(len(GRID))
    return mean, float(GRID[np.argmax(mean)]) if mean.any() else 0.5
