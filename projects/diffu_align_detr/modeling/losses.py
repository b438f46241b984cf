"""Align-DETR's class loss and pair weights (Cai et al. 2023).

Both are made from a pair's quality, which is high only if the pair's score and the overlap of its boxes are both high.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_base.modeling.losses import MatchedPairs, background_and_pairs

_LOWEST_QUALITY = 0.01


def alignment_quality(matched_logits: Tensor, pairs: MatchedPairs, alpha: float) -> Tensor:
    """The quality t = p^α · IoU^(1-α) of each pair, (M,). It is at least 0.01 and has no gradient.

    Args:
        matched_logits: (M,), the logits whose sigmoid is p.
        pairs: their boxes have the IoU.
        alpha: α.
    """
    iou = pairs.overlap(paired_iou)
    return (matched_logits.sigmoid() ** alpha * iou ** (1 - alpha)).clamp(min=_LOWEST_QUALITY).detach()


def rank_in_bag(quality: Tensor, pairs: MatchedPairs) -> Tensor:
    """The rank of each pair among the pairs of its target, by quality: (M,) int64, 0 for the best.

    A bag holds the pairs of one target.
    """
    bag = pairs.image * 2**32 + pairs.target
    order = quality.argsort(descending=True, stable=True)
    order = order[bag[order].argsort(stable=True)]  # sorted by bag, and within a bag by quality
    sorted_bag = bag[order]
    place = torch.arange(len(bag), device=bag.device) - torch.searchsorted(sorted_bag, sorted_bag)
    return torch.empty_like(place).scatter(0, order, place)


class RankWeights:
    """Weighs pairs by exp(-rank / τ), so that the best of the queries that share a target counts most.

    Args:
        tau: τ; the larger it is, the more the other queries count.
        alpha: α in the quality that the queries are ranked by.

    Raises:
        ValueError: tau is not positive.
    """

    def __init__(self, tau: float = 1.5, alpha: float = 0.25) -> None:
        if tau <= 0:
            raise ValueError(f"pair_weights.tau is {tau}; it must be positive")
        self.tau = tau
        self.alpha = alpha

    @torch.no_grad()
    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """The weights (M,) of the pairs, in (0, 1], from `pred_logits` (B, Q, K)."""
        quality = alignment_quality(pred_logits[pairs.entries].float(), pairs, self.alpha)
        return torch.exp(-rank_in_bag(quality, pairs) / self.tau)


class IABCELoss:
    """The IoU-aware binary cross entropy.

    A pair's target t is its quality times its weight, and its loss is -t log p - (1 - t) log(1 - p). All other logits
    have the loss -p^γ log(1 - p), whose factor p^γ has a gradient too.

    Args:
        alpha: α in the quality: how much the score counts, and how little the IoU.
        gamma: γ.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """The loss, summed over all queries and classes of `pred_logits` (B, Q, K)."""
        background, matched = background_and_pairs(pred_logits, pairs, self.gamma)
        target = alignment_quality(matched, pairs, self.alpha)
        if pairs.weights is not None:
            target = target * pairs.weights
        positive = F.softplus(matched) - target * matched  # the cross entropy of a logit with a target in [0, 1]
        negative = matched.sigmoid() ** self.gamma * F.softplus(matched)
        return background + (positive - negative).sum()
