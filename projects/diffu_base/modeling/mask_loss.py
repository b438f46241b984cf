"""The loss of masks that a dynamic mask head makes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.mask_head import DynamicMaskHead
from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.matcher import Indices

# Numbers that an image's masks of one head may keep for the backward pass: 256 MiB of float32.
_KEPT = 2**26


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
        for feature, of_image, truth in zip(mask_feature, filters, masks, strict=True):
            total = total + self.of_image(feature, of_image, truth)
        return total

    def of_image(self, feature: Tensor, filters: Tensor, masks: Tensor) -> Tensor:
        """The sum over one image's pairs; the masks of more than memory allows are made again for their gradients.

        Args:
            feature: (C, H, W).
            filters: (m, F).
            masks: (m, h, w) bool.
        """
        numbers = sum(channels for channels, _ in self.mask_head.shapes) + 1  # kept per cell: each layer's, the truth
        at_a_time = max(1, _KEPT // (numbers * feature[0].numel()))
        if len(filters) <= at_a_time:
            return self.of_pairs(feature, filters, masks)
        parts = zip(filters.split(at_a_time), masks.split(at_a_time), strict=True)
        losses = [
            checkpoint(self.of_pairs, feature, *part, use_reentrant=False, preserve_rng_state=False) for part in parts
        ]
        return torch.stack(losses).sum()

    def of_pairs(self, feature: Tensor, filters: Tensor, masks: Tensor) -> Tensor:
        """`of_image`, all at once."""
        height, width = feature.shape[-2:]
        probability = self.mask_head(feature, filters).float().sigmoid()
        truth = F.pad(masks.float(), (0, width - masks.shape[-1], 0, height - masks.shape[-2]))
        return dice_loss(probability, truth).sum()

    def of_queries(self, filters: Tensor, mask_feature: Tensor, targets: list[Target], indices: Indices) -> Tensor:
        """`forward` for the queries that `indices` pairs with targets.

        Args:
            filters: (B, Q, F), of all queries.
            targets: per image `masks` (n, h, w) bool.
        """
        of_pairs = [of_image[queries] for of_image, (queries, _) in zip(filters, indices, strict=True)]
        masks = [t["masks"][matched] for t, (_, matched) in zip(targets, indices, strict=True)]
        return self(of_pairs, mask_feature, masks)
