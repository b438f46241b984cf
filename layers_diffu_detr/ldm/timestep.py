"""Timestep embeddings: a sinusoid of t, then an MLP of two layers. Parameters are named as in released checkpoints."""

import math

import torch
from torch import Tensor, nn


def timestep_sinusoid(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Timesteps t (B,) -> [cos(t f), sin(t f)] (B, dim), float32, with frequencies f_i = max_period^(-i / (dim/2))."""
    half = dim // 2
    freqs = torch.exp(-math.log(max_period) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * freqs
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Sequential):
    """Embeds timesteps t (B,) to (B, 4 · embed_dim). The parameters are called `0.*` and `2.*`.

    Raises:
        ValueError: embed_dim is odd.
    """

    def __init__(self, embed_dim: int = 256) -> None:
        if embed_dim % 2:
            raise ValueError(f"embed_dim is {embed_dim}; a sinusoid of cosine and sine halves needs an even number")
        super().__init__(nn.Linear(embed_dim, 4 * embed_dim), nn.SiLU(), nn.Linear(4 * embed_dim, 4 * embed_dim))
        self.embed_dim = embed_dim

    def forward(self, t: Tensor) -> Tensor:
        """t (B,) -> (B, 4 · embed_dim)."""
        return super().forward(timestep_sinusoid(t, self.embed_dim))


class TransformerSinusoid(nn.Module):
    """Timesteps t (B,) -> [sin(t f), cos(t f)] (B, dim), float32, with frequencies f_i = 10000^(-i / (dim/2 - 1)).

    Raises:
        ValueError: dim is odd or below 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 2 or dim < 4:
            raise ValueError(f"embed_dim is {dim}; a sinusoid of sine and cosine halves needs an even number from 4 on")
        self.dim = dim

    def forward(self, t: Tensor) -> Tensor:
        half = self.dim // 2
        exponents = torch.arange(half, dtype=torch.float32, device=t.device) / (half - 1)
        angles = t.float()[:, None] * torch.exp(-math.log(10000.0) * exponents)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class SineTimestepEmbedding(nn.Sequential):
    """DiffusionDet's embedding of timesteps t (B,) to (B, 4 · embed_dim). The parameters are called `1.*` and `3.*`."""

    def __init__(self, embed_dim: int = 256) -> None:
        super().__init__(
            TransformerSinusoid(embed_dim),
            nn.Linear(embed_dim, 4 * embed_dim),
            nn.GELU(),
            nn.Linear(4 * embed_dim, 4 * embed_dim),
        )
