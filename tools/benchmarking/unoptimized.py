"""Plain versions of computations that the models do with less work or memory.

The objects here compute what the default ones do, at the cost that a plain implementation has. A config takes them in
place of the defaults (``model.transformer.ranking._target_=tools.benchmarking.unoptimized.EveryLogitScore``), and
tools/benchmark.py --compare then measures what the shortcuts save. docs/large_vocabulary.md and
docs/diffusion_inst.md have the numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, pairwise_giou
from layers_diffu_detr.mask_head import DynamicMaskHead
from projects.diffu_base.modeling.losses import MatchedPairs, VarifocalLoss
from projects.diffu_base.modeling.matcher import HungarianMatcher, LayerPredictions


class EveryLogitScore:
    """`BestClassScore` that holds the logits of all S tokens, B · S · K of them, at once."""

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> the larger the better, (B, S)."""
        return class_head(features).max(-1).values


class EveryClassMatcher(HungarianMatcher):
    """`HungarianMatcher` that computes the class costs of all K classes and then takes those of the targets."""

    def cost(self, outputs: LayerPredictions, labels: Tensor, boxes: Tensor) -> Tensor:
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
    """`VarifocalLoss` that makes a target and a weight for every one of the B · Q · K logits."""

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


class CopyingMaskHead(DynamicMaskHead):
    """`DynamicMaskHead` as a grouped convolution, which needs a copy of the mask feature for every object."""

    def forward(self, feature: Tensor, filters: Tensor) -> Tensor:
        """Mask logits (N, H, W) of feature (C, H, W) and filters (N, num_filters)."""
        num_objects, num_layers = len(filters), len(self.shapes)
        if not num_objects:
            return super().forward(feature, filters)
        split = filters.split(self.sizes, dim=1)
        x = feature[None].repeat(1, num_objects, 1, 1)
        for i, (out, width) in enumerate(self.shapes):
            weight, bias = split[i].reshape(num_objects * out, width, 1, 1), split[num_layers + i].flatten()
            x = F.conv2d(x if i == 0 else x.relu(), weight, bias, groups=num_objects)
        return x[0]

    def _numbers_per_object(self, cells: int, stride: int, output_size: tuple[int, int]) -> int:
        return 0  # all objects at once
