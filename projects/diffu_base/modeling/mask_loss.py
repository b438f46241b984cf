"""The loss on the masks that a dynamic mask head makes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.mask_head import DynamicMaskHead
from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.matcher import Indices

# How many numbers the masks of one image may keep for the backward pass of a layer: 256 MiB of float32.
_KEPT = 2**26


def dice_loss(probability: Tensor, truth: Tensor, eps: float = 1e-5) -> Tensor:
    """The dice loss 1 - 2 Σpm / (Σp² + Σm²) of each mask (Milletari et al. 2016).

    Args:
        probability, truth: p and m, (N, H, W) each.
        eps: is added to the denominator.

    Returns:
        (N,).
    """
    probability, truth = probability.flatten(1), truth.flatten(1)
    overlap = (probability * truth).sum(1)
    return 1 - 2 * overlap / (probability.square().sum(1) + truth.square().sum(1) + eps)


class MaskLoss(nn.Module):
    """The dice loss of the masks that a mask head makes from filters and mask features.

    Args:
        mask_head: the mask head.
    """

    def __init__(self, mask_head: DynamicMaskHead) -> None:
        super().__init__()
        self.mask_head = mask_head

    def forward(self, filters: Sequence[Tensor], mask_feature: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """The sum over the pairs of all images. It is connected to filters and feature even if there are no pairs.

        Args:
            filters: per image (m, F), the filters of its m pairs.
            mask_feature: (B, C, H, W).
            masks: per image the true masks of its pairs, (m, h, w) bool, h <= H and w <= W. Beyond h and w, where the
                image is padded, the truth is False.
        """
        total = mask_feature.new_zeros((), dtype=torch.float32)
        for feature, of_image, truth in zip(mask_feature, filters, masks, strict=True):
            total = total + self.of_image(feature, of_image, truth)
        return total

    def of_image(self, feature: Tensor, filters: Tensor, masks: Tensor) -> Tensor:
        """The sum over one image's pairs.

        If the masks of all pairs would keep too much memory for the backward pass, the method works on some pairs at a
        time, keeps none of their masks, and computes the masks again in the backward pass.

        Args:
            feature: (C, H, W).
            filters: (m, F).
            masks: (m, h, w) bool.
        """
        numbers = sum(channels for channels, _ in self.mask_head.shapes) + 1  # per cell: all layers' outputs, the truth
        at_a_time = max(1, _KEPT // (numbers * feature[0].numel()))
        if len(filters) <= at_a_time:
            return self.of_pairs(feature, filters, masks)
        parts = zip(filters.split(at_a_time), masks.split(at_a_time), strict=True)
        losses = [
            checkpoint(self.of_pairs, feature, *part, use_reentrant=False, preserve_rng_state=False) for part in parts
        ]
        return torch.stack(losses).sum()

    def of_pairs(self, feature: Tensor, filters: Tensor, masks: Tensor) -> Tensor:
        """`of_image` for all pairs at once."""
        height, width = feature.shape[-2:]
        probability = self.mask_head(feature, filters).float().sigmoid()
        truth = F.pad(masks.float(), (0, width - masks.shape[-1], 0, height - masks.shape[-2]))
        return dice_loss(probability, truth).sum()

    def of_queries(self, filters: Tensor, mask_feature: Tensor, targets: list[Target], indices: Indices) -> Tensor:
        """`forward` for the pairs of queries and targets in `indices`.

        Args:
            filters: (B, Q, F), the filters of all queries.
            mask_feature: (B, C, H, W).
            targets: per image `masks` (n, h, w) bool.
            indices: per image the indices of queries and of their targets.
        """
        of_pairs = [of_image[queries] for of_image, (queries, _) in zip(filters, indices, strict=True)]
        masks = [t["masks"][matched] for t, (_, matched) in zip(targets, indices, strict=True)]
        return self(of_pairs, mask_feature, masks)
