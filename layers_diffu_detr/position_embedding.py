"""Sine position embeddings of feature maps and of boxes."""

import math

import torch
from torch import Tensor, nn


def features_per_axis(embed_dim: int) -> int:
    """The number of features per axis with which the features of y and x together have `embed_dim` channels."""
    return embed_dim // 2


def _wavelengths(num_pos_feats: int, temperature: float, device: torch.device) -> Tensor:
    """The wavelengths temperature^(2 ⌊i/2⌋ / F) of features i = 0…F-1, (F,)."""
    index = torch.arange(num_pos_feats, dtype=torch.float32, device=device)
    return temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / num_pos_feats)


def _interleaved_sine(angles: Tensor) -> Tensor:
    """The sine of every even and the cosine of every odd feature, (..., F) -> (..., F)."""
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-2)


class PositionEmbeddingSine(nn.Module):
    """DETR's sine embedding of the pixels of a padded feature map (Carion et al. 2020).

    Args:
        num_pos_feats: features per axis, F.
        temperature: the largest wavelength.
        normalize: True divides positions by the size of the valid part of the map and multiplies them by `scale`.
        offset: is added to pixel indices, which start at 1, before they are normalized; -0.5 gives the pixels' centres.
    """

    def __init__(
        self,
        num_pos_feats: int = 64,
        temperature: float = 10000,
        scale: float = 2 * math.pi,
        eps: float = 1e-6,
        offset: float = 0.0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.num_pos_feats = num_pos_feats
        self.temperature = temperature
        self.scale = scale
        self.eps = eps
        self.offset = offset
        self.normalize = normalize

    def forward(self, mask: Tensor) -> Tensor:
        """Padding mask (B, H, W), True where padded -> embedding (B, 2F, H, W), first y's features, then x's."""
        y, x = (~mask).cumsum(1, dtype=torch.float32), (~mask).cumsum(2, dtype=torch.float32)
        if self.normalize:
            y = (y + self.offset) / (y[:, -1:, :] + self.eps) * self.scale
            x = (x + self.offset) / (x[:, :, -1:] + self.eps) * self.scale
        wavelengths = _wavelengths(self.num_pos_feats, self.temperature, mask.device)
        embedding = [_interleaved_sine(position[..., None] / wavelengths) for position in (y, x)]
        return torch.cat(embedding, dim=-1).permute(0, 3, 1, 2)


def get_sine_pos_embed(positions: Tensor, num_pos_feats: int = 128, temperature: float = 10000) -> Tensor:
    """Embed points (n = 2) or boxes (n = 4) for query positions: (B, Q, n) -> (B, Q, n · F).

    The features stand in detrex's order: y, x, and for boxes w, h.
    """
    wavelengths = _wavelengths(num_pos_feats, temperature, positions.device)
    embedding = _interleaved_sine(positions[..., None] * 2 * math.pi / wavelengths)  # (B, Q, n, F)
    order = [1, 0, *range(2, positions.shape[-1])]
    return embedding[..., order, :].flatten(-2)
