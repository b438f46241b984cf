"""A layer of the deformable encoder and a layer of the decoder, under detrex's parameter names."""

import copy
from typing import TypedDict, cast

from torch import Tensor, nn

from layers_diffu_detr.attention import MultiheadAttention
from layers_diffu_detr.mlp import FFN
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention


class Layout(TypedDict):
    """How the tokens of L feature maps follow each other."""

    spatial_shapes: Tensor  # (L, 2) int64, height and width of each level
    level_start_index: Tensor  # (L,) int64, where each level starts among the tokens


class Geometry(Layout):
    """The positions of queries and tokens: keyword arguments of `MultiScaleDeformableAttention.forward`."""

    reference_points: Tensor


class SelfAttentionMasks(TypedDict):
    """Which queries a query must not attend to: keyword arguments of `DeformableDecoderLayer.forward`."""

    attn_mask: Tensor | None
    query_key_padding_mask: Tensor | None


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and FFN, each followed by its norm."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        feedforward_dim: int,
        attn_dropout: float,
        ffn_dropout: float,
        num_feature_levels: int,
    ) -> None:
        super().__init__()
        attention = MultiScaleDeformableAttention(embed_dim, num_heads, num_feature_levels, dropout=attn_dropout)
        self.attentions = nn.ModuleList([attention])
        self.ffns = nn.ModuleList([FFN(embed_dim, feedforward_dim, ffn_dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(2))

    def forward(self, query: Tensor, query_pos: Tensor, padding_mask: Tensor | None, geometry: Geometry) -> Tensor:
        """Let the tokens attend to each other.

        Args:
            query, query_pos: (B, S, C), the tokens and their positions.
            padding_mask: (B, S) bool, True where padded; None: nothing is padded.
            geometry: of the tokens.

        Returns:
            (B, S, C).
        """
        attention = cast(MultiScaleDeformableAttention, self.attentions[0])
        query = self.norms[0](attention(query, attention.project_value(query, padding_mask), query_pos, **geometry))
        return self.norms[1](self.ffns[0](query))


class DeformableDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and FFN, each followed by its norm; may be conditioned on a timestep.

    Args:
        conditioning: is copied and held as `time_step_embeds`, see `ScaleShiftConditioning`; None: no conditioning.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        feedforward_dim: int,
        attn_dropout: float,
        ffn_dropout: float,
        num_feature_levels: int,
        conditioning: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self_attention = MultiheadAttention(embed_dim, num_heads, attn_dropout)
        cross_attention = MultiScaleDeformableAttention(embed_dim, num_heads, num_feature_levels, dropout=attn_dropout)
        self.attentions = nn.ModuleList([self_attention, cross_attention])
        self.ffns = nn.ModuleList([FFN(embed_dim, feedforward_dim, ffn_dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(3))
        self.time_step_embeds = copy.deepcopy(conditioning)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        projected_value: Tensor,
        geometry: Geometry,
        *,
        attn_mask: Tensor | None = None,
        query_key_padding_mask: Tensor | None = None,
        time_embed: Tensor | None = None,
    ) -> Tensor:
        """Let the queries attend to each other and to memory.

        Args:
            query, query_pos: (B, Q, C), the queries and their positions.
            projected_value: (B, S, heads, C / heads), from `project_value`.
            geometry: of the queries.
            attn_mask: (Q, Q) bool, True where the row's query must not attend to the column's.
            query_key_padding_mask: (B, Q) bool, True for queries that no query must attend to; None: there are none.
            time_embed: (B, 4C), the embedded timestep of each image; None: unconditioned.

        Returns:
            (B, Q, C).
        """
        query = self._condition(query, time_embed, part=0)
        query = self.norms[0](self.attentions[0](query, query_pos, attn_mask, query_key_padding_mask))
        query = self._condition(query, time_embed, part=1)
        query = self.norms[1](self.attentions[1](query, projected_value, query_pos, **geometry))
        query = self._condition(query, time_embed, part=2)
        return self.norms[2](self.ffns[0](query))

    def project_value(self, memory: Tensor, key_padding_mask: Tensor | None) -> Tensor:
        """The cross-attention's projection of memory, see `MultiScaleDeformableAttention.project_value`."""
        return cast(MultiScaleDeformableAttention, self.attentions[1]).project_value(memory, key_padding_mask)

    def _condition(self, query: Tensor, time_embed: Tensor | None, part: int) -> Tensor:
        if time_embed is None:
            return query
        if self.time_step_embeds is None:
            raise ValueError("time_embed is given, but this decoder was built with conditioning=None")
        return self.time_step_embeds(query, time_embed, part)
