"""How well several draws of noise agree about a detection: an uncertainty beside the score.

A diffusion detector starts from noise. What it finds again from other noise is more often right than what it finds
once. The agreement is a number of its own: it says how sure the detector is of a detection that it shows.
"""

import torch
from detectron2.structures import Instances, pairwise_iou
from torch import Tensor


def agreement_of(first: Instances, others: list[Instances]) -> Tensor:
    """How well other draws agree about the detections of the first.

    In each of the other draws, a detection is met by the detection of its class with the largest score · IoU. The
    agreement is the mean of score · IoU over the draws: low if a detection comes back seldom, elsewhere, or with low
    scores.

    Args:
        first: N detections of an image.
        others: the detections of further draws on the same image.

    Returns:
        (N,) in [0, 1].
    """
    if not len(first):
        return first.scores.new_zeros(0)
    met = [_met(first, other) for other in others]
    return torch.stack(met).mean(dim=0)


def _met(first: Instances, other: Instances) -> Tensor:
    if not len(other):
        return first.scores.new_zeros(len(first))
    iou = pairwise_iou(first.pred_boxes, other.pred_boxes)
    same_class = first.pred_classes[:, None] == other.pred_classes
    return (iou * same_class * other.scores).amax(dim=1)
