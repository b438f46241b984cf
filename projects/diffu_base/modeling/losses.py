"""Losses of set prediction. Class losses are objects that fill the slot `class_loss` of a criterion."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, paired_giou
from layers_diffu_detr.chunks import rows_at_a_time


@dataclass(frozen=True)
class MatchedPairs:
    """The M pairs of a query and a target that one layer's predictions have in a batch.

    Attributes:
        image, query: (M,) int64, which prediction in (B, Q, ...) belongs to the pair.
        target: (M,) int64, the number of the pair's target in its image.
        labels: (M,) int64, the class of the pair's target.
        pred_boxes, target_boxes: (M, 4) normalized cxcywh, float32.
        weights: (M,) float32, how much each pair counts; None: all the same.
    """

    image: Tensor
    query: Tensor
    target: Tensor
    labels: Tensor
    pred_boxes: Tensor
    target_boxes: Tensor
    weights: Tensor | None = None

    @property
    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Indices into logits (B, Q, K): of each pair, the logit of its target's class."""
        return self.image, self.query, self.labels

    def overlap(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The overlap of each predicted box with its target, (M,), by `measure`, e.g. `paired_giou`."""
        return measure(box_cxcywh_to_xyxy(self.pred_boxes), box_cxcywh_to_xyxy(self.target_boxes))

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values`, one per pair (M,), times the pairs' weights."""
        return (values if self.weights is None else values * self.weights).sum()


class _Background(torch.autograd.Function):
    """Computes `background_and_pairs` and its gradient in little memory.

    With thousands of classes, logits take most of the memory of a training step. This function keeps no other tensor of
    their size for the backward pass, and makes one such tensor there: the gradient, with the pairs' part in it.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, gamma: float, detached: bool, *entries: Tensor) -> tuple[Tensor, Tensor]:
        ctx.gamma, ctx.detached = gamma, detached
        ctx.save_for_backward(logits, *entries)
        parts = [(x.sigmoid() ** gamma * F.softplus(x)).sum() for x in _chunks(logits)]
        return torch.stack(parts).sum(), logits[entries].float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, background: Tensor, pairs: Tensor) -> tuple[Tensor | None, ...]:
        logits, *entries = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for part, x in zip(gradient.split(_rows(logits), dim=1), _chunks(logits), strict=True):
            probability = x.sigmoid()
            slope = probability if ctx.detached else probability + ctx.gamma * (1 - probability) * F.softplus(x)
            part.copy_(background * probability**ctx.gamma * slope)
        gradient.index_put_(tuple(entries), pairs.to(gradient.dtype), accumulate=True)
        return gradient, None, None, *(None for _ in entries)


def _rows(logits: Tensor) -> int:
    """How many queries of `logits` (B, Q, K) to work on at a time."""
    return rows_at_a_time(logits.shape[0] * logits.shape[2], logits.device)


def _chunks(logits: Tensor) -> list[Tensor]:
    return [part.float() for part in logits.split(_rows(logits), dim=1)]


def background_and_pairs(
    pred_logits: Tensor, pairs: MatchedPairs, gamma: float, *, detached: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss that the logits would have if all were background, and the logits of the pairs.

    The background loss of a logit x with p = sigmoid(x) is p^γ · softplus(x). A class loss computes from the pairs'
    logits by how much the pairs change it. It needs no tensor of one-hot targets (B, Q, K) for that.

    Args:
        pred_logits: (B, Q, K) of any floating-point type.
        pairs: the pairs of queries and targets.
        gamma: γ.
        detached: True treats p^γ as a constant when computing gradients.

    Returns:
        The background loss, summed over all logits, (), and the pairs' logits (M,), float32.
    """
    return _Background.apply(pred_logits, gamma, detached, *pairs.entries)


class FocalLoss:
    """The sigmoid focal loss with one-hot targets (Lin et al. 2017): -α_t (1 - p_t)^γ log p_t."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """The loss, summed over all queries and classes of `pred_logits` (B, Q, K)."""
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma)
        positive = self.alpha * (-matched).sigmoid() ** self.gamma * F.softplus(-matched)
        negative = (1 - self.alpha) * matched.sigmoid() ** self.gamma * F.softplus(matched)
        return (1 - self.alpha) * background + (positive - negative).sum()


class VarifocalLoss:
    """The varifocal loss (Zhang et al. 2021): a weighted cross entropy. A pair's target is the quality q of its box.

    The weight of a pair is q. The weight of any other logit, whose target is 0, is (1 - α) p^γ. The gradient treats
    weights and targets as constants.

    Args:
        alpha, gamma: α and γ.
        quality: the overlap of two sets of corner boxes (M, 4). The released models use the generalized IoU. It is
            negative for boxes that are far apart; weight and target of such a pair are then negative too.
    """

    def __init__(
        self, alpha: float = 0.25, gamma: float = 2.0, quality: Callable[[Tensor, Tensor], Tensor] = paired_giou
    ) -> None:
        self.alpha = alpha
        self.gamma = gamma
        self.quality = quality

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """The loss, summed over all queries and classes of `pred_logits` (B, Q, K)."""
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma, detached=True)
        quality = pairs.overlap(self.quality).detach()
        # The cross entropy of a logit x with the target q is softplus(x) - q x.
        positive = quality * (F.softplus(matched) - quality * matched)
        negative = (1 - self.alpha) * matched.detach().sigmoid() ** self.gamma * F.softplus(matched)
        return (1 - self.alpha) * background + (positive - negative).sum()


def l1_loss(pairs: MatchedPairs) -> Tensor:
    """The weighted sum of the absolute differences between predicted and target cx, cy, w, h."""
    return pairs.sum((pairs.pred_boxes - pairs.target_boxes).abs().sum(-1))


def giou_loss(pairs: MatchedPairs) -> Tensor:
    """The weighted sum of the pairs' 1 - GIoU."""
    return pairs.sum(1 - pairs.overlap(paired_giou))
