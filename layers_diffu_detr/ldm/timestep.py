"""Timestep embedding: sinusoid of t, then a two-layer MLP; the parameter names are the released checkpoints'."""

import math

import torch
from torch import Tensor, nn


def timestep_sinusoid(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """[cos(t f), sin(t f)] with f_i = max_period^(-i / (dim/2)): (B,) -> (B, dim), float32."""
    half = dim // 2
    freqs = torch.exp(-math.log(max_period) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * freqs
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Sequential):
    """Embed timesteps: t (B,) -> (B, 4 · embed_dim); parameters `0.*` and `2.*`, as in the released checkpoints."""

    def __init__(self, embed_dim: int = 256):
        if embed_dim % 2:
            raise ValueError(f"embed_dim is {embed_dim}; a sinusoid of cosine and sine halves needs an even number")
        super().__init__(nn.Linear(embed_dim, 4 * embed_dim), nn.SiLU(), nn.Linear(4 * embed_dim, 4 * embed_dim))
        self.embed_dim = embed_dim

    def forward(self, t: Tensor) -> Tensor:
        return super().forward(timestep_sinusoid(t, self.embed_dim))
