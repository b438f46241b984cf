"""Losses of set prediction. A classification loss is an object for the criterion's `class_loss` slot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, paired_giou
from layers_diffu_detr.chunks import rows_at_a_time


@dataclass(frozen=True)
class MatchedPairs:
    """The M pairs of a query and a target in one layer's batch.

    Attributes:
        image, query: (M,) int64, where the pair's prediction lies in (B, Q, ...).
        target: (M,) int64, the target's place among those of its image.
        labels: (M,) int64, the target's class.
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
        """Where the pairs' own classes lie in (B, Q, K)."""
        return self.image, self.query, self.labels

    def overlap(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """`measure`, e.g. `paired_giou`, (M,) of predicted and target boxes."""
        return measure(box_cxcywh_to_xyxy(self.pred_boxes), box_cxcywh_to_xyxy(self.target_boxes))

    def sum(self, values: Tensor) -> Tensor:
        """Weighted sum of one value per pair, (M,)."""
        return (values if self.weights is None else values * self.weights).sum()


class _Background(torch.autograd.Function):
    """See `background_and_pairs`. With classes in thousands the logits are most of a training step's memory: here
    nothing of their size is kept but they themselves, and their gradient is made once, pairs included."""

    @staticmethod
    def forward(ctx, logits: Tensor, gamma: float, detached: bool, *entries: Tensor) -> tuple[Tensor, Tensor]:
        ctx.gamma, ctx.detached = gamma, detached
        ctx.save_for_backward(logits, *entries)
        parts = [(x.sigmoid() ** gamma * F.softplus(x)).sum() for x in _chunks(logits)]
        return torch.stack(parts).sum(), logits[entries].float()

    @staticmethod
    @once_differentiable
    def backward(ctx, background: Tensor, pairs: Tensor) -> tuple[Tensor | None, ...]:
        logits, *entries = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for part, x in zip(gradient.split(_rows(logits), dim=1), _chunks(logits), strict=True):
            probability = x.sigmoid()
            slope = probability if ctx.detached else probability + ctx.gamma * (1 - probability) * F.softplus(x)
            part.copy_(background * probability**ctx.gamma * slope)
        gradient.index_put_(tuple(entries), pairs.to(gradient.dtype), accumulate=True)
        return gradient, None, None, *(None for _ in entries)


def _rows(logits: Tensor) -> int:
    """How many queries of `logits` (B, Q, K) make a chunk."""
    return rows_at_a_time(logits.shape[0] * logits.shape[2], logits.device)


def _chunks(logits: Tensor) -> list[Tensor]:
    return [part.float() for part in logits.split(_rows(logits), dim=1)]


def background_and_pairs(
    pred_logits: Tensor, pairs: MatchedPairs, gamma: float, *, detached: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss p^γ · softplus(x) of every logit x, as if all were background, and the logits of the pairs.

    A classification loss adds the pairs' difference; no tensor of one-hot targets, B · Q · K, is made.

    Args:
        pred_logits: (B, Q, K) of any floating-point type.
        pairs: tell which entries are no background.
        gamma: of the weight p^γ.
        detached: the weight is a constant for the gradient.

    Returns:
        The sum () and the pairs' logits (M,), float32.
    """
    return _Background.apply(pred_logits, gamma, detached, *pairs.entries)


class FocalLoss:
    """Sigmoid focal loss (Lin et al. 2017): -α_t (1 - p_t)^γ log p_t, targets one-hot."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and classes of `pred_logits` (B, Q, K), not normalized."""
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma)
        positive = self.alpha * (-matched).sigmoid() ** self.gamma * F.softplus(-matched)
        negative = (1 - self.alpha) * matched.sigmoid() ** self.gamma * F.softplus(matched)
        return (1 - self.alpha) * background + (positive - negative).sum()


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
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma, detached=True)
        quality = pairs.overlap(self.quality).detach()
        # Cross entropy of a logit x with the soft target q: softplus(x) - q x.
        positive = quality * (F.softplus(matched) - quality * matched)
        negative = (1 - self.alpha) * matched.detach().sigmoid() ** self.gamma * F.softplus(matched)
        return (1 - self.alpha) * background + (positive - negative).sum()


def l1_loss(pairs: MatchedPairs) -> Tensor:
    """Sum of the absolute differences of predicted and target cx, cy, w, h, weighted."""
    return pairs.sum((pairs.pred_boxes - pairs.target_boxes).abs().sum(-1))


def giou_loss(pairs: MatchedPairs) -> Tensor:
    """Sum of 1 - GIoU of the pairs, weighted."""
    return pairs.sum(1 - pairs.overlap(paired_giou))
