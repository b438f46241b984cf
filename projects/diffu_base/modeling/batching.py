"""Helpers for images of different sizes: grouping them by size, finding the valid part of padded maps, padding maps.

They compute with the sizes as numbers, which stay symbols while `torch.export` makes a graph for images of any size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def groups_by_size(images: list[Tensor]) -> list[list[int]]:
    """Group images of equal size: a list of indices into `images` for each size."""
    groups: list[list[int]] = []
    for i, image in enumerate(images):
        group = next((group for group in groups if images[group[0]].shape == image.shape), None)
        if group is None:
            groups.append([i])
        else:
            group.append(i)
    return groups


def stack_padded(images: list[Tensor], divisor: int = 1) -> Tensor:
    """Join images (C, H_i, W_i) to one batch; zeros pad them to the largest height and width.

    Height and width are rounded up to multiples of `divisor`.
    """
    height, width = (-(-max(image.shape[axis] for image in images) // divisor) * divisor for axis in (-2, -1))
    return torch.stack([_padded(image, height, width) for image in images])


def _padded(x: Tensor, height: int, width: int) -> Tensor:
    if x.shape[-2:] == (height, width):
        return x
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))


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
    return torch.cat([_padded(x, height, width) for x in maps])
