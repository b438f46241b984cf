"""What a query's content is made of, beside what its proposal gives. Objects for slots of the transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SampledContent:
    """Content from where the box is now: memory at the box's centre, mixed from the levels that fit the box's size.

    A level fits best a box as large as its grid boxes, whose side is `finest_side` · 2^level. The levels' weights are
    the softmax of -log2²(side / best side).

    Args:
        finest_side: the side of the finest level's grid boxes, relative to the image.
    """

    def __init__(self, finest_side: float = 0.05) -> None:
        self.finest_side = finest_side

    def __call__(self, maps: list[Tensor], valid_ratios: Tensor, boxes: Tensor) -> Tensor:
        """Sample memory.

        Args:
            maps: L levels of memory (B, C, H_l, W_l), finest first.
            valid_ratios: (B, L, 2), the valid part of width and height of each level.
            boxes: (B, Q, 4) normalized cxcywh.

        Returns:
            (B, Q, C).
        """
        side = boxes[..., 2:].prod(-1).clamp(min=1e-6).sqrt()
        best = self.finest_side * 2.0 ** torch.arange(len(maps), device=boxes.device)
        weights = (-(torch.log2(side[..., None] / best) ** 2)).softmax(-1)  # (B, Q, L)
        content = torch.zeros_like(boxes[..., :1])
        for level, features in enumerate(maps):
            centres = boxes[..., :2] * valid_ratios[:, None, level] * 2 - 1
            sampled = F.grid_sample(features, centres[:, :, None].to(features.dtype), align_corners=False)
            content = content + weights[..., level, None] * sampled.squeeze(-1).transpose(1, 2)
        return content


class StateAsContent(nn.Module):
    """Self-conditioning (Chen et al. 2023, Analog Bits): after the first pass, the last pass's state is the content."""

    def forward(self, content: Tensor, state: Tensor) -> Tensor:
        """Content and state (B, Q, C) -> content (B, Q, C). A state of zeros stands for a query without a past."""
        return torch.where((state == 0).all(-1, keepdim=True), content, state)


class StateAddedToContent(nn.Module):
    """Self-conditioning that adds the last pass's state, through a linear layer, to the content.

    The layer starts at zero, so that a trained model first detects as it did without this part.

    Args:
        embed_dim: C.
    """

    def __init__(self, embed_dim: int = 256) -> None:
        super().__init__()
        self.projection = nn.Linear(embed_dim, embed_dim, bias=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Set the layer's weights to zero."""
        nn.init.zeros_(self.projection.weight)

    def forward(self, content: Tensor, state: Tensor) -> Tensor:
        """Content and state (B, Q, C) -> content (B, Q, C). A state of zeros stands for a query without a past."""
        return content + self.projection(state)
