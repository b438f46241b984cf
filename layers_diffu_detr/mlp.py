"""Multi-layer perceptrons with detrex's parameter names."""

import torch.nn.functional as F
from torch import Tensor, nn


class ReLU(nn.Module):
    """max(x, 0), written over x in inference, which saves memory.

    In training x stays: writing over a linear layer's output would make autograd copy it first.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x, inplace=not x.requires_grad)


class MLP(nn.Module):
    """A multi-layer perceptron: linear layers with ReLU between them, (..., input_dim) -> (..., output_dim)."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        dims = [input_dim] + [hidden_dim] * (num_layers - 1) + [output_dim]
        self.layers = nn.ModuleList(nn.Linear(n, k) for n, k in zip(dims[:-1], dims[1:], strict=True))
        self.relu = ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.relu(layer(x))
        return self.layers[-1](x)


class FFN(nn.Module):
    """A transformer's feed-forward block with a residual connection: x + W2 relu(W1 x), (..., C) -> (..., C)."""

    def __init__(self, embed_dim: int = 256, feedforward_dim: int = 1024, ffn_drop: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(embed_dim, feedforward_dim), ReLU(), nn.Dropout(ffn_drop)),
            nn.Linear(feedforward_dim, embed_dim),
            nn.Dropout(ffn_drop),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
