"""Align-DETR's class loss and pair weights (Cai et al. 2023): classification and localization agree on what is good."""

import torch
import torch.nn.functional as F
from torch import Tensor

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_base.modeling.losses import MatchedPairs, background_and_pairs

_LOWEST_QUALITY = 0.01


def alignment_quality(matched_logits: Tensor, pairs: MatchedPairs, alpha: float) -> Tensor:
    """t = p^α · IoU^(1-α) of each pair, (M,), at least 0.01 and without gradient."""
    iou = pairs.overlap(paired_iou)
    return (matched_logits.sigmoid() ** alpha * iou ** (1 - alpha)).clamp(min=_LOWEST_QUALITY).detach()


def rank_in_bag(quality: Tensor, pairs: MatchedPairs) -> Tensor:
    """Place of each pair among those of its target, best quality first: (M,) int64, 0 for the best."""
    bag = pairs.image * 2**32 + pairs.target
    order = quality.argsort(descending=True, stable=True)
    order = order[bag[order].argsort(stable=True)]  # by bag, within it by quality
    sorted_bag = bag[order]
    place = torch.arange(len(bag), device=bag.device) - torch.searchsorted(sorted_bag, sorted_bag)
    return torch.empty_like(place).scatter(0, order, place)


class RankWeights:
    """exp(-rank / τ): of the queries that share a target the best counts most.

    Args:
        tau: the larger, the more the others count.
        alpha: of the quality that ranks them, as in `IABCELoss`.
    """

    def __init__(self, tau: float = 1.5, alpha: float = 0.25):
        if tau <= 0:
            raise ValueError(f"pair_weights.tau is {tau}; it must be positive")
        self.tau = tau
        self.alpha = alpha

    @torch.no_grad()
    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Weights (M,) in (0, 1], from `pred_logits` (B, Q, K)."""
        quality = alignment_quality(pred_logits[pairs.entries].float(), pairs, self.alpha)
        return torch.exp(-rank_in_bag(quality, pairs) / self.tau)


class IABCELoss:
    """IoU-aware binary cross entropy: pairs have the target t, their quality times their weight.

    -t log p - (1 - t) log(1 - p) on pairs, -p^γ log(1 - p) on negatives.

    Args:
        alpha: share of the score, against the IoU, in the quality.
        gamma: of the negatives' weight, which has a gradient.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and classes of `pred_logits` (B, Q, K), not normalized."""
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma)
        target = alignment_quality(matched, pairs, self.alpha)
        if pairs.weights is not None:
            target = target * pairs.weights
        positive = F.softplus(matched) - target * matched  # cross entropy of a logit with a soft target
        negative = matched.sigmoid() ** self.gamma * F.softplus(matched)
        return background + (positive - negative).sum()
