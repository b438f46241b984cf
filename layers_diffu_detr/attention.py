"""Self-attention between queries, under detrex's parameter names."""

from torch import Tensor, nn


class MultiheadAttention(nn.Module):
    """Self-attention with a residual connection: query + attention(query + pos, query + pos, query).

    Args:
        embed_dim, num_heads, attn_drop: as in `torch.nn.MultiheadAttention`, which this module holds as `attn`.
    """

    def __init__(self, embed_dim: int, num_heads: int, attn_drop: float = 0.0) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, dropout=attn_drop, batch_first=True)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor | None = None,
        attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Let the queries attend to each other.

        Args:
            query: (B, Q, C).
            query_pos: (B, Q, C), added to `query` for the attention's queries and keys, not for its values.
            attn_mask: (Q, Q) bool, True where the row's query must not attend to the column's.
            key_padding_mask: (B, Q) bool, True for queries that no query must attend to; None: there are none.

        Returns:
            (B, Q, C).
        """
        positioned = query if query_pos is None else query + query_pos
        attended, _ = self.attn(
            positioned, positioned, query, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=False
        )
        return query + attended
