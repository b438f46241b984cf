"""How a decoder layer takes the timestep into account. Each class fills the slot `conditioning` of the decoder."""

from torch import Tensor, nn


class TimeStepBlock(nn.Module):
    """Scale and shift queries by the timestep: x + x · (1 + scale) + shift.

    A linear layer makes scale and shift from the timestep embedding. The formula adds x once more than a usual
    scale-and-shift does; the released weights were trained with it.

    Args:
        embed_dim: C.
        time_embed_dim: channels of the timestep embedding.
    """

    def __init__(self, embed_dim: int, time_embed_dim: int) -> None:
        super().__init__()
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_embed_dim, 2 * embed_dim))

    def forward(self, x: Tensor, time_embed: Tensor) -> Tensor:
        """Queries x (B, Q, C) and timestep embeddings (B, time_embed_dim) -> (B, Q, C)."""
        scale, shift = self.emb_layers(time_embed)[:, None].chunk(2, dim=-1)
        return x + x * (1 + scale) + shift


class ScaleShiftConditioning(nn.ModuleList):
    """The conditioning of the released weights: a `TimeStepBlock` before each of a decoder layer's three parts.

    Args:
        embed_dim: C.
        time_embed_dim: channels of the timestep embedding; None: 4C.
    """

    def __init__(self, embed_dim: int = 256, time_embed_dim: int | None = None) -> None:
        super().__init__(TimeStepBlock(embed_dim, time_embed_dim or 4 * embed_dim) for _ in range(3))

    def forward(self, query: Tensor, time_embed: Tensor, part: int) -> Tensor:
        """Condition `query` (B, Q, C) before self-attention (part 0), cross-attention (1) or the FFN (2)."""
        return self[part](query, time_embed)


class AdditiveConditioning(nn.ModuleList):
    """The conditioning in the DiffuDETR paper: the layer adds the projected timestep embedding after self-attention.

    As an equation, q_n = FFN(MSDA(SA(q_{n-1}) + t), ...).

    Args:
        embed_dim, time_embed_dim: as in `ScaleShiftConditioning`.
    """

    def __init__(self, embed_dim: int = 256, time_embed_dim: int | None = None) -> None:
        projection = nn.Sequential(nn.SiLU(), nn.Linear(time_embed_dim or 4 * embed_dim, embed_dim))
        super().__init__([projection])

    def forward(self, query: Tensor, time_embed: Tensor, part: int) -> Tensor:
        """Add the projected embedding to `query` (B, Q, C) before cross-attention (part 1), and nothing elsewhere."""
        return query + self[0](time_embed)[:, None] if part == 1 else query
