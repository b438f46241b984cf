"""What the encoder makes of a batch of images."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Memory:
    """The tokens of a batch of images: the cells of all levels one after another, finest level first.

    Attributes:
        tokens: (B, S, C).
        positions: (B, S, C), the sum of position and level embedding.
        padding_mask: (B, S) bool, True where padded; None if no image of the batch is padded.
        spatial_shapes: (L, 2) int64, padded height and width of each level.
        level_start_index: (L,) int64, where each level starts among the tokens.
        valid_ratios: (B, L, 2), the valid part of width and height.
        centres: (B, S, 2), the centre (x, y) of each token's cell, relative to the valid part of its level.
        levels: (S,) int64, each token's level.
        sizes: `spatial_shapes` as numbers.
        valid_sizes: (B, L, 2), valid height and width of each level, as numbers.
    """

    tokens: Tensor
    positions: Tensor
    padding_mask: Tensor | None
    spatial_shapes: Tensor
    level_start_index: Tensor
    valid_ratios: Tensor
    centres: Tensor
    levels: Tensor
    sizes: list[list[int]]
    valid_sizes: list[list[list[int]]]

    def maps(self) -> list[Tensor]:
        """The tokens as L maps (B, C, H_l, W_l), finest first; 0 where padded."""
        tokens = self.tokens
        if self.padding_mask is not None:
            tokens = tokens.masked_fill(self.padding_mask[..., None], 0.0)
        parts = tokens.transpose(1, 2).split([height * width for height, width in self.sizes], dim=2)
        return [part.unflatten(2, size) for part, size in zip(parts, self.sizes, strict=True)]
