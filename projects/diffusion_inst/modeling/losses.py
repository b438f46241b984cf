"""Losses that DiffusionDet and DiffusionInst have besides the DETR family's."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy
from layers_diffu_detr.mask_head import DynamicMaskHead
from layers_diffu_detr.targets import Target
from projects.diffu_detr.modeling.losses import MatchedPairs
from projects.diffu_detr.modeling.matcher import Indices


def corner_l1_loss(pairs: MatchedPairs) -> Tensor:
    """Sum of the absolute differences of predicted and target corners, normalized, weighted."""
    difference = box_cxcywh_to_xyxy(pairs.pred_boxes) - box_cxcywh_to_xyxy(pairs.target_boxes)
    return pairs.sum(difference.abs().sum(-1))


def dice_loss(probability: Tensor, truth: Tensor, eps: float = 1e-5) -> Tensor:
    """1 - 2 Σpm / (Σp² + Σm²) of each mask (Milletari et al. 2016): (N, H, W) twice -> (N,)."""
    probability, truth = probability.flatten(1), truth.flatten(1)
    overlap = (probability * truth).sum(1)
    return 1 - 2 * overlap / (probability.square().sum(1) + truth.square().sum(1) + eps)


class MaskLoss(nn.Module):
    """Dice loss of the masks that the pairs' filters make of their image's mask feature.

    Args:
        mask_head: makes them.
    """

    def __init__(self, mask_head: DynamicMaskHead):
        super().__init__()
        self.mask_head = mask_head

    def forward(self, filters: Sequence[Tensor], mask_feature: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Sum over all pairs, connected to filters and feature also where there are none.

        Args:
            filters: per image (m, F), of its pairs.
            mask_feature: (B, C, H, W).
            masks: per image the ground truth of its pairs, (m, h, w) bool, h <= H and w <= W; nothing lies beyond.
        """
        total = mask_feature.new_zeros((), dtype=torch.float32)
        height, width = mask_feature.shape[-2:]
        for feature, of_image, truth in zip(mask_feature, filters, masks, strict=True):
            probability = self.mask_head(feature, of_image).float().sigmoid()
            truth = F.pad(truth.float(), (0, width - truth.shape[-1], 0, height - truth.shape[-2]))
            total = total + dice_loss(probability, truth).sum()
        return total

    def of_queries(self, filters: Tensor, mask_feature: Tensor, targets: list[Target], indices: Indices) -> Tensor:
        """`forward` for the queries that `indices` pairs with targets.

        Args:
            filters: (B, Q, F), of all queries.
            targets: per image `masks` (n, h, w) bool.
        """
        of_pairs = [of_image[queries] for of_image, (queries, _) in zip(filters, indices, strict=True)]
        masks = [t["masks"][matched] for t, (_, matched) in zip(targets, indices, strict=True)]
        return self(of_pairs, mask_feature, masks)


class FederatedLoss(nn.Module):
    """A class loss over a few classes at a time: those of the targets and others at random (LVIS; Zhou et al. 2021).

    In LVIS an image's annotations are complete for some of its classes only, and rare classes would otherwise learn
    from negatives alone.

    Args:
        class_loss: from logits (B, Q, C) and `MatchedPairs` to a sum.
        image_counts: (K,) images that hold each class.
        num_sampled: classes that count at a time, the background, which has no logit, among them, as released.
        power: classes are drawn by their count to this power.
    """

    def __init__(
        self,
        class_loss: Callable[[Tensor, MatchedPairs], Tensor],
        image_counts: Sequence[int],
        *,
        num_sampled: int = 50,
        power: float = 0.5,
    ):
        super().__init__()
        if num_sampled < 2:
            raise ValueError(f"class_loss.num_sampled is {num_sampled}; it must be at least 2")
        self.class_loss = class_loss
        self.num_sampled = num_sampled
        weights = torch.as_tensor(image_counts, dtype=torch.float32) ** power
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """Sum over all queries and the drawn classes of `pred_logits` (B, Q, K).

        Raises:
            ValueError: there are not K image counts.
        """
        if pred_logits.shape[-1] != len(self.weights):
            raise ValueError(
                f"class_loss.image_counts has {len(self.weights)} classes; num_classes is {pred_logits.shape[-1]}"
            )
        classes = self.draw(pairs.labels)
        place = classes.new_zeros(len(self.weights)).index_put_((classes,), torch.arange(len(classes)).to(classes))
        return self.class_loss(pred_logits[..., classes], replace(pairs, labels=place[pairs.labels]))

    def draw(self, labels: Tensor) -> Tensor:
        """The classes that count: those in `labels` (M,), and others up to `num_sampled` with the background."""
        present = labels.unique()
        weights = self.weights.index_fill(0, present, 0)
        others = min(self.num_sampled - 1 - len(present), len(weights) - len(present))
        if others <= 0:
            return present
        return torch.cat([present, torch.multinomial(weights, others)])
