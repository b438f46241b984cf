"""Statistics of turns, and whether two settings compute the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

EQUAL_PIXELS = 1e-3
EQUAL_LOSS = 1e-4  # relative
_SAME_DETECTION = 1.0  # pixels: farther apart, two boxes are not the same detection


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, and their distance as `spread`."""
    low, median, high = (float(x) for x in np.percentile(values, (25, 50, 75)))
    return {"median": median, "q25": low, "q75": high, "spread": high - low}


def ratio(a: Sequence[float], b: Sequence[float]) -> dict[str, Any] | None:
    """A / B: the ratio of the medians as `ratio`, and the summary of the ratios of turns that followed each other.

    None where B took nothing.
    """
    if not all(b):
        return None
    return {"ratio": float(np.median(a) / np.median(b)), "paired": summary(np.asarray(a) / np.asarray(b))}


def differences(a: Any, b: Any) -> dict[str, Any]:
    """What two first turns computed: losses by name, or detections per image."""
    return loss_differences(a, b) if isinstance(a, dict) else detection_differences(a, b)


def loss_differences(a: dict[str, float], b: dict[str, float]) -> dict[str, Any]:
    """Greatest difference of two steps' losses, absolute and relative, and by name; `equal` if all are very small."""
    if a.keys() != b.keys():
        return {"equal": False, "names_of_one_only": sorted(a.keys() ^ b.keys())}
    by_name = {name: abs(a[name] - b[name]) for name in a}
    relative = {name: by_name[name] / max(abs(a[name]), abs(b[name]), 1e-12) for name in a}
    worst = max(relative.values())
    return {
        "equal": worst <= EQUAL_LOSS,
        "max_abs": max(by_name.values()),
        "max_relative": worst,
        "by_name": by_name,
    }


def detection_differences(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> dict[str, Any]:
    """Greatest difference of boxes in pixels and of scores over pairs of the same detection.

    Detections are paired one to one, by class and nearest box: the order of nearly equal scores may differ. Those
    without a partner within a pixel are counted as `unpaired`.
    """
    pixels, scores, unpaired, total = [0.0], [0.0], 0, 0
    for first, second in zip(a, b, strict=True):
        total += max(len(first["boxes"]), len(second["boxes"]))
        boxes = [np.asarray(each["boxes"], dtype=np.float64).reshape(-1, 4) for each in (first, second)]
        distance = np.abs(boxes[0][:, None] - boxes[1][None]).max(-1)
        other_class = np.asarray(first["classes"])[:, None] != np.asarray(second["classes"])[None]
        rows, columns = linear_sum_assignment(np.where(other_class, 1e6, distance))
        same = (distance[rows, columns] <= _SAME_DETECTION) & ~other_class[rows, columns]
        unpaired += max(boxes[0].shape[0], boxes[1].shape[0]) - int(same.sum())
        pixels += distance[rows, columns][same].tolist()
        score = np.abs(np.asarray(first["scores"])[rows] - np.asarray(second["scores"])[columns])
        scores += score[same].tolist()
    return {
        "equal": unpaired == 0 and max(pixels) <= EQUAL_PIXELS,
        "detections": total,
        "unpaired": unpaired,
        "max_pixels": max(pixels),
        "max_score": max(scores),
    }
