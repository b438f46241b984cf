"""The proposals' scores, matching costs and class loss as one would write them down, for every class at once.

They compute what the defaults of `projects/diffu_detr/modeling` compute. tools/benchmark.py puts them into a config's
slots (`model.transformer.ranking._target_=...`) to tell what the defaults save; see docs/large_vocabulary.md.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, pairwise_giou
from projects.diffu_detr.modeling.losses import MatchedPairs, VarifocalLoss
from projects.diffu_detr.modeling.matcher import HungarianMatcher, Predictions


class EveryLogitScore:
    """`BestClassScore` from all B · S · K logits."""

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> the larger the better, (B, S)."""
        return class_head(features).max(-1).values


class EveryClassMatcher(HungarianMatcher):
    """`HungarianMatcher` that computes the class costs of all K classes before it takes those of the targets."""

    def cost(self, outputs: Predictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """Cost (B, Q, N); see `HungarianMatcher.cost`."""
        logits, pred_boxes = outputs["pred_logits"].float(), outputs["pred_boxes"].float()
        prob = logits.sigmoid()
        positive = self.alpha * (1 - prob) ** self.gamma * F.softplus(-logits)
        negative = (1 - self.alpha) * prob**self.gamma * F.softplus(logits)
        of_class = (positive - negative).gather(2, labels[:, None].expand(-1, logits.shape[1], -1))
        l1 = (pred_boxes[:, :, None] - boxes[:, None]).abs().sum(-1)
        giou = pairwise_giou(box_cxcywh_to_xyxy(pred_boxes), box_cxcywh_to_xyxy(boxes))
        return self.cost_class * of_class + self.cost_bbox * l1 - self.cost_giou * giou


class OneHotVarifocalLoss(VarifocalLoss):
    """`VarifocalLoss` from a weight and a target for every logit."""

    def __call__(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and classes of `pred_logits` (B, Q, K), not normalized."""
        logits = pred_logits.float()
        one_hot = torch.zeros_like(logits)
        one_hot[pairs.entries] = 1
        quality = torch.zeros_like(logits)
        quality[pairs.entries] = pairs.overlap(self.quality).detach()
        probability = logits.detach().sigmoid()
        weight = (1 - self.alpha) * probability**self.gamma * (1 - one_hot) + quality
        return (F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * weight).sum()
