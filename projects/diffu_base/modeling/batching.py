"""Images of different sizes in one batch: which share a size, what of a padded map is valid, padding maps."""

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def groups_by_size(images: list[Tensor]) -> list[list[int]]:
    """Indices of images of equal size."""
    groups = defaultdict(list)
    for i, image in enumerate(images):
        groups[image.shape].append(i)
    return list(groups.values())


def valid_sizes_of(size: tuple[int, int], padded_size: tuple[int, int], levels: list[Tensor]) -> list[list[int]]:
    """Height and width of the part of each level that an image of `size` in a batch of `padded_size` covers."""
    return [
        [
            -(-side * feature // padded)
            for side, padded, feature in zip(size, padded_size, level.shape[-2:], strict=True)
        ]
        for level in levels
    ]


def pad_and_cat(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B_i, C, H_i, W_i), padded with zeros to the largest height and width, as one batch."""
    height, width = max(x.shape[-2] for x in maps), max(x.shape[-1] for x in maps)
    return torch.cat([F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])) for x in maps])
