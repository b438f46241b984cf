"""How far an exported detector is from the one in PyTorch, on real images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from detectron2.structures import Instances
from numpy import ndarray

from .graph import NO_CLASS

MOST_PIXELS, MOST_SCORE = 0.1, 1e-3


@dataclass(frozen=True)
class Difference:
    """The largest differences between two lists of detections.

    Attributes:
        detections: how many were compared.
        pixels: of a box's corner; infinite if a detection has no counterpart of its class.
        score: of a score.
        masks: the share of a mask's pixels that differ.
    """

    detections: int = 0
    pixels: float = 0.0
    score: float = 0.0
    masks: float = 0.0

    @property
    def small(self) -> bool:
        """Whether no difference is above what rounding explains."""
        return self.pixels <= MOST_PIXELS and self.score <= MOST_SCORE and self.masks <= MOST_SCORE

    def __or__(self, other: "Difference") -> "Difference":
        """The largest differences of both."""
        return Difference(
            self.detections + other.detections,
            max(self.pixels, other.pixels),
            max(self.score, other.score),
            max(self.masks, other.masks),
        )


def difference(found: Mapping[str, ndarray], expected: Instances, limit: int) -> Difference:
    """Compare an image's detections with those of PyTorch. Each has as counterpart the nearest of its class.

    Args:
        found: the fields of `Found`, of one image.
        expected: PyTorch's, at the image's size.
        limit: the most detections that an image gets. If there are as many, rounding decides about the last ones, so
            those whose score is within `MOST_SCORE` of the lowest need no counterpart.
    """
    rows = found["classes"] != NO_CLASS
    ours = {name: value[rows] for name, value in found.items()}
    theirs = {
        "boxes": expected.pred_boxes.tensor.numpy(),
        "scores": expected.scores.numpy(),
        "classes": expected.pred_classes.numpy(),
    }
    if "masks" in ours:
        theirs["masks"] = expected.pred_masks.numpy()
    return _one_way(ours, theirs, limit) | _one_way(theirs, ours, limit)


def _one_way(some: Mapping[str, ndarray], others: Mapping[str, ndarray], limit: int) -> Difference:
    """The differences of `some` detections from their counterparts among the `others`."""
    scores = some["scores"]
    sure = scores > (scores.min() + MOST_SCORE if len(scores) >= limit else -1.0)
    if not sure.any():
        return Difference(len(scores))
    pixels = np.abs(some["boxes"][sure, None] - others["boxes"][None]).max(-1, initial=0)  # (sure, others)
    score = np.abs(scores[sure, None] - others["scores"][None])
    distance = pixels / MOST_PIXELS + score / MOST_SCORE
    distance[some["classes"][sure, None] != others["classes"][None]] = np.inf
    if not others["scores"].size or not np.isfinite(distance.min(1)).all():
        return Difference(len(scores), pixels=float("inf"), score=float("inf"))
    counterpart = distance.argmin(1)
    places = np.arange(len(counterpart))
    masks = 0.0
    if "masks" in some:
        masks = max(
            float((mask != others["masks"][number]).mean())
            for mask, number in zip(some["masks"][sure], counterpart, strict=True)
        )
    return Difference(
        len(scores), float(pixels[places, counterpart].max()), float(score[places, counterpart].max()), masks
    )
