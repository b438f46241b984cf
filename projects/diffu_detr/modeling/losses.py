"""Classification losses of set prediction. Each is an object for the criterion's `class_loss` slot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, paired_giou


@dataclass(frozen=True)
class MatchedPairs:
    """The M pairs of a query and a target in one layer's batch.

    Attributes:
        image, query: (M,) int64, where the pair's prediction lies in (B, Q, ...).
        labels: (M,) int64, the target's class.
        pred_boxes, target_boxes: (M, 4) normalized cxcywh, float32.
    """

    image: Tensor
    query: Tensor
    labels: Tensor
    pred_boxes: Tensor
    target_boxes: Tensor

    def logits(self, pred_logits: Tensor) -> Tensor:
        """The pairs' logits (M,) for their own class, of `pred_logits` (B, Q, K)."""
        return pred_logits[self.image, self.query, self.labels]

    def overlap(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """`measure`, e.g. `paired_giou`, (M,) of predicted and target boxes."""
        return measure(box_cxcywh_to_xyxy(self.pred_boxes), box_cxcywh_to_xyxy(self.target_boxes))


class FocalLoss:
    """Sigmoid focal loss (Lin et al. 2017): -α_t (1 - p_t)^γ log p_t, targets one-hot."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and classes of `pred_logits` (B, Q, K), not normalized."""
        # Every entry as a negative, then the pairs' difference: no one-hot tensor of B · Q · K is made.
        matched = pairs.logits(pred_logits)
        return self._negative(pred_logits).sum() + (self._positive(matched) - self._negative(matched)).sum()

    def _positive(self, logits: Tensor) -> Tensor:
        return self.alpha * (-logits).sigmoid() ** self.gamma * F.softplus(-logits)

    def _negative(self, logits: Tensor) -> Tensor:
        return (1 - self.alpha) * logits.sigmoid() ** self.gamma * F.softplus(logits)


class VarifocalLoss:
    """Varifocal loss (Zhang et al. 2021): cross entropy with the quality q of a pair's box as target.

    Weights: (1 - α) p^γ on negatives, q on pairs; p and q are detached.

    Args:
        alpha, gamma: of the negatives' weight.
        quality: overlap of two (M, 4) corner boxes. The released models use the generalized IoU, which is negative
            for pairs far apart: such a pair's weight and target are negative too.
    """

    def __init__(
        self, alpha: float = 0.25, gamma: float = 2.0, quality: Callable[[Tensor, Tensor], Tensor] = paired_giou
    ):
        self.alpha = alpha
        self.gamma = gamma
        self.quality = quality

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and classes of `pred_logits` (B, Q, K), not normalized."""
        matched, quality = pairs.logits(pred_logits), pairs.overlap(self.quality).detach()
        # Cross entropy of a logit x with the soft target q: softplus(x) - q x.
        positive = quality * (F.softplus(matched) - quality * matched)
        return self._negative(pred_logits).sum() + (positive - self._negative(matched)).sum()

    def _negative(self, logits: Tensor) -> Tensor:
        return (1 - self.alpha) * logits.detach().sigmoid() ** self.gamma * F.softplus(logits)


def l1_loss(pairs: MatchedPairs) -> Tensor:
    """Sum of the absolute differences of predicted and target cx, cy, w, h."""
    return (pairs.pred_boxes - pairs.target_boxes).abs().sum()


def giou_loss(pairs: MatchedPairs) -> Tensor:
    """Sum of 1 - GIoU of the pairs."""
    return torch.sum(1 - pairs.overlap(paired_giou))
