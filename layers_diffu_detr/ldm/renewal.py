"""What happens to queries between two passes. Objects for the slots `renewal` and `stop` of a sampler."""

from typing import Protocol

import torch
from torch import Tensor

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, distinct_boxes, pairwise_iou
from layers_diffu_detr.ldm.passes import DenoisingPass


class Renewal(Protocol):
    """Decides which queries go on from where they are after a pass.

    Attributes:
        restarts: whether the other queries restart from new noise; else they leave the chain.
    """

    restarts: bool

    def keep(self, last: DenoisingPass, t_next: int, num_timesteps: int) -> Tensor:
        """Which queries go on.

        Args:
            last: the pass that has just ended.
            t_next: the timestep of the next pass.
            num_timesteps: T.

        Returns:
            (B, Q) bool.
        """
        ...


class ThresholdRenewal:
    """The base of renewals that keep the queries whose confidence is above a threshold; all others restart."""

    restarts = True

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        """The confidence at or below which a query restarts from noise after the step to `t_next`."""
        raise NotImplementedError

    def keep(self, last: DenoisingPass, t_next: int, num_timesteps: int) -> Tensor:
        """See `Renewal.keep`."""
        return last.prediction.confidence > self.threshold(t_next, num_timesteps)


class TimeRenewal(ThresholdRenewal):
    """A renewal threshold that falls with time: t_next / T. Over 3 steps it is 0.66, 0.33, 0 (released DiffuDETR)."""

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        """See `ThresholdRenewal.threshold`."""
        return max(t_next, 0) / num_timesteps


class FixedRenewal(ThresholdRenewal):
    """A constant renewal threshold (DiffusionDet, DiffusionInst: 0.5).

    Raises:
        ValueError: the value is not in [0, 1].
    """

    def __init__(self, value: float = 0.5) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"renewal threshold is {value}; it must lie in [0, 1]")
        self.value = value

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        """See `ThresholdRenewal.threshold`."""
        return self.value


class DistinctRenewal:
    """Keeps the boxes that overlap no better one. All others restart from noise and may find what was missed.

    Args:
        iou_threshold: of two predicted boxes whose IoU is larger, the more confident one is kept.

    Raises:
        ValueError: iou_threshold is not in (0, 1].
    """

    restarts = True

    def __init__(self, iou_threshold: float = 0.3) -> None:
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"renewal.iou_threshold is {iou_threshold}; it must lie in (0, 1]")
        self.iou_threshold = iou_threshold

    def keep(self, last: DenoisingPass, t_next: int, num_timesteps: int) -> Tensor:
        """See `Renewal.keep`. Boxes are compared whatever their class."""
        boxes, confidence = last.prediction.boxes, last.prediction.confidence
        valid = last.queries.valid
        if valid is not None:  # a query that does not count suppresses none
            confidence = confidence.masked_fill(~valid, -1.0)
        order = confidence.argsort(dim=1, descending=True, stable=True)
        best_first = distinct_boxes(boxes.gather(1, order[..., None].expand_as(boxes)), self.iou_threshold)
        keep = torch.zeros_like(best_first).scatter(1, order, best_first)
        return keep if valid is None else keep & valid


class DropDuplicates(DistinctRenewal):
    """Keeps the boxes that overlap no better one. All others leave the chain: the next pass has fewer queries."""

    restarts = False


class NothingNew:
    """Stops the chain of an image when a pass finds no object that an earlier one has not found.

    Args:
        confidence: predictions above it are taken for objects.
        iou_threshold: an object is new if its IoU with all objects of earlier passes is at most this.

    Raises:
        ValueError: a number is not in [0, 1].
    """

    def __init__(self, confidence: float = 0.3, iou_threshold: float = 0.5) -> None:
        for name, value in (("confidence", confidence), ("iou_threshold", iou_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"stop.{name} is {value}; it must lie in [0, 1]")
        self.confidence = confidence
        self.iou_threshold = iou_threshold

    def __call__(self, passes: list[DenoisingPass]) -> Tensor:
        """Which images' chains stop after the passes so far, (B,) bool. No chain stops after its first pass."""
        *earlier, last = passes
        found = self._found(last)
        if not earlier:
            return torch.zeros_like(found[:, 0])
        boxes = box_cxcywh_to_xyxy(last.prediction.boxes)
        new = found
        for each in earlier:
            iou = pairwise_iou(boxes, box_cxcywh_to_xyxy(each.prediction.boxes))
            new = new & ~((iou > self.iou_threshold) & self._found(each)[:, None]).any(-1)
        return ~new.any(-1)

    def _found(self, each: DenoisingPass) -> Tensor:
        """Which queries of a pass have found an object, (B, Q) bool."""
        found = each.prediction.confidence > self.confidence
        return found if each.queries.valid is None else found & each.queries.valid
