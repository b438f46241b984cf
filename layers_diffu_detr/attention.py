"""Self-attention with residual and query positions, under detrex's parameter names."""

from torch import Tensor, nn


class MultiheadAttention(nn.Module):
    """query + attention(query + pos, query + pos, query).

    Args:
        embed_dim, num_heads, attn_drop: as in `torch.nn.MultiheadAttention`, held as `attn`.
    """

    def __init__(self, embed_dim: int, num_heads: int, attn_drop: float = 0.0):
        super().__init__()
        self.embed_dim = embed_dim
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, dropout=attn_drop, batch_first=True)

    def forward(self, query: Tensor, query_pos: Tensor | None = None, attn_mask: Tensor | None = None) -> Tensor:
        """(B, Q, C) -> (B, Q, C); `attn_mask` (Q, Q) bool, True where query i must not see query j."""
        positioned = query if query_pos is None else query + query_pos
        attended, _ = self.attn(positioned, positioned, query, attn_mask=attn_mask, need_weights=False)
        return query + attended
