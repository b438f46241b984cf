"""Ways to merge detections that use more of them than NMS does. Objects for a sampler's slot `merge`."""

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from layers_diffu_detr.postprocess import ClassWiseNMS, Detections


class SoftNMS:
    """Lowers the scores of detections that overlap a better one of their class (Bodla et al. 2017, Gaussian form).

    A score is multiplied by e^(-IoU² / σ) for every better detection.

    Args:
        sigma: σ; the smaller it is, the more an overlap costs.
        min_passes: detections that come from fewer passes stay as they are.

    Raises:
        ValueError: sigma is not positive.
    """

    def __init__(self, sigma: float = 0.5, min_passes: int = 2) -> None:
        if sigma <= 0:
            raise ValueError(f"merge.sigma is {sigma}; it must be positive")
        self.sigma = sigma
        self.min_passes = min_passes

    def __call__(self, detections: Detections, num_passes: int) -> Detections:
        """All `detections`, which come from `num_passes` passes, with their new scores."""
        if num_passes < self.min_passes:
            return detections
        # On the host in NumPy: the loop has a step for each detection, and tensors take several times as long for it.
        decay = torch.exp(-(_overlaps(detections) ** 2) / self.sigma).cpu().numpy()
        left = detections.scores.cpu().numpy().copy()
        scores = left.copy()
        for _ in range(len(left)):
            best = left.argmax()
            scores[best] = left[best]
            left[best] = -1.0  # taken: below all scores
            np.multiply(left, decay[best], out=left, where=left > 0)
        return detections.with_boxes(detections.boxes_xyxy, torch.from_numpy(scores).to(detections.scores.device))


class BoxVoting:
    """NMS whose remaining detections are moved by those that they stand for (Gidaris & Komodakis 2015).

    The voters of a remaining detection are the detections of its class that overlap it. Its box becomes their mean,
    weighted by their scores. Its score stays: to average the scores of the voters costs AP, since an object has many
    voters with low scores beside the best.

    Args:
        iou_threshold: of NMS, see `ClassWiseNMS`.
        vote_iou_threshold: a detection votes if its IoU is larger.
        min_passes: detections that come from fewer passes stay as they are.

    Raises:
        ValueError: a threshold is not in (0, 1].
    """

    def __init__(self, iou_threshold: float = 0.65, vote_iou_threshold: float = 0.8, min_passes: int = 2) -> None:
        if not 0 < vote_iou_threshold <= 1:
            raise ValueError(f"merge.vote_iou_threshold is {vote_iou_threshold}; it must lie in (0, 1]")
        self.nms = ClassWiseNMS(iou_threshold, min_passes)
        self.vote_iou_threshold = vote_iou_threshold

    def __call__(self, detections: Detections, num_passes: int) -> Detections:
        """The detections that remain of `detections`, which come from `num_passes` passes."""
        if num_passes < self.nms.min_passes or len(detections.scores) == 0:
            return detections
        kept = self.nms(detections, num_passes)
        votes = (_overlaps(kept, detections) > self.vote_iou_threshold) * detections.scores  # (M, N)
        total = votes.sum(1, keepdim=True)
        voted = total > 0  # a detection votes for itself, unless its box has no area
        boxes = torch.where(voted, votes @ detections.boxes_xyxy / total.where(voted, 1.0), kept.boxes_xyxy)
        return kept.with_boxes(boxes, kept.scores)


def _overlaps(a: Detections, b: Detections | None = None) -> Tensor:
    """The IoU (M, N) of `a` with `b` (None: `a`); 0 for boxes of other classes and for boxes without area."""
    b = b or a
    iou = box_iou(a.boxes_xyxy, b.boxes_xyxy).nan_to_num(0.0)
    return iou * (a.classes[:, None] == b.classes)
