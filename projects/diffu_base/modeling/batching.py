"""Helpers for images of different sizes: grouping them by size, finding the valid part of padded maps, padding maps."""

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def groups_by_size(images: list[Tensor]) -> list[list[int]]:
    """Group images of equal size: a list of indices into `images` for each size."""
    groups: dict[torch.Size, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        groups[image.shape].append(i)
    return list(groups.values())


def valid_sizes_of(size: Sequence[int], padded_size: Sequence[int], levels: list[Tensor]) -> list[list[int]]:
    """Height and width of the part of each level that an image covers.

    Args:
        size: height and width of the image.
        padded_size: height and width of the batch that the image was padded to.
        levels: the batch's feature maps (B, C, H_l, W_l).
    """
    return [
        [
            -(-side * feature // padded)
            for side, padded, feature in zip(size, padded_size, level.shape[-2:], strict=True)
        ]
        for level in levels
    ]


def pad_and_cat(maps: Sequence[Tensor]) -> Tensor:
    """Join maps (B_i, C, H_i, W_i) to one batch; zeros pad them to the largest height and width."""
    height, width = max(x.shape[-2] for x in maps), max(x.shape[-1] for x in maps)
    return torch.cat([F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])) for x in maps])
