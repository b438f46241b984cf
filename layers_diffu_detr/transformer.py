"""Deformable encoder and timestep-conditioned deformable decoder, under detrex's parameter names.

Both take the calls of detrex's meta-architectures (DINO, Deformable DETR, Align-DETR) and can stand in for theirs.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from layers_diffu_detr.attention import MultiheadAttention
from layers_diffu_detr.bbox_embedd import LookForwardTwice, refine_boxes
from layers_diffu_detr.mlp import FFN
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention
from layers_diffu_detr.position_embedding import get_sine_pos_embed


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
    ):
        super().__init__()
        attention = MultiScaleDeformableAttention(embed_dim, num_heads, num_feature_levels, dropout=attn_dropout)
        self.attentions = nn.ModuleList([attention])
        self.ffns = nn.ModuleList([FFN(embed_dim, feedforward_dim, ffn_dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dim) for _ in range(2))

    def forward(
        self, query: Tensor, query_pos: Tensor, padding_mask: Tensor | None, geometry: dict[str, Tensor]
    ) -> Tensor:
        """query, query_pos (B, S, C) -> (B, S, C); `geometry` goes to the deformable attention."""
        attention = self.attentions[0]
        query = self.norms[0](attention(query, attention.project_value(query, padding_mask), query_pos, **geometry))
        return self.norms[1](self.ffns[0](query))


class DeformableTransformerEncoder(nn.Module):
    """A stack of deformable encoder layers over the tokens of all levels.

    Args:
        embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_layers, num_feature_levels: detrex's keys.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        num_heads: int = 8,
        feedforward_dim: int = 2048,
        attn_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
        num_layers: int = 6,
        num_feature_levels: int = 4,
    ):
        super().__init__()
        self.embed_dim, self.num_layers = embed_dim, num_layers
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_feature_levels)
            for _ in range(num_layers)
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        query_pos: Tensor | None = None,
        query_key_padding_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        reference_points: Tensor | None = None,
        level_start_index: Tensor | None = None,
        valid_ratios: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Encode tokens.

        Args:
            query: (B, S, C), features of all levels; query_pos: (B, S, C), their positions.
            query_key_padding_mask: (B, S) bool, True where padded; None: nothing is padded.
            spatial_shapes: (L, 2) int64; level_start_index: (L,) int64.
            reference_points: (B, S, L, 2), in [0, 1] of the padded maps.
            key, value, valid_ratios, kwargs: part of detrex's call (its transformer hands the decoder's keywords to
                both); unused.

        Returns:
            Memory, (B, S, C).
        """
        geometry = dict(
            reference_points=reference_points, spatial_shapes=spatial_shapes, level_start_index=level_start_index
        )
        for layer in self.layers:
            query = layer(query, query_pos, query_key_padding_mask, geometry)
        return query


class DeformableDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and FFN, each followed by its norm; may be conditioned on a timestep.

    Args:
        conditioning: see `ScaleShiftConditioning`; held as `time_step_embeds`; None: no conditioning.
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
    ):
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
        geometry: dict[str, Tensor],
        *,
        attn_mask: Tensor | None = None,
        time_embed: Tensor | None = None,
    ) -> Tensor:
        """query, query_pos (B, Q, C), projected_value (B, S, heads, C / heads), time_embed (B, 4C) -> (B, Q, C)."""
        query = self._condition(query, time_embed, part=0)
        query = self.norms[0](self.attentions[0](query, query_pos, attn_mask))
        query = self._condition(query, time_embed, part=1)
        query = self.norms[1](self.attentions[1](query, projected_value, query_pos, **geometry))
        query = self._condition(query, time_embed, part=2)
        return self.norms[2](self.ffns[0](query))

    def _condition(self, query: Tensor, time_embed: Tensor | None, part: int) -> Tensor:
        return query if time_embed is None else self.time_step_embeds(query, time_embed, part)


class DeformableTransformerDecoder(nn.Module):
    """A stack of deformable decoder layers that refine reference boxes.

    The heads `class_embed` and `bbox_embed` are the model's, set on this module by the meta-architecture, as in detrex.

    Args:
        embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_layers, num_feature_levels: detrex's keys.
        conditioning: one layer's timestep conditioning, copied for each layer; None: a decoder without time parameters.
        norm: of every layer's state before the heads (DINO); None: no norm (Deformable DETR).
        ref_point_head: makes query positions from the sine embedding of the boxes, anew for every layer (DINO), see
            `build_ref_point_head`; None: the given `query_pos` serve every layer (Deformable DETR).
        look_forward: what gradient goes from a layer's boxes to the layer before, see `LookForwardTwice`.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        num_heads: int = 8,
        feedforward_dim: int = 2048,
        attn_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
        num_layers: int = 6,
        num_feature_levels: int = 4,
        conditioning: nn.Module | None = None,
        *,
        norm: nn.Module | None = None,
        ref_point_head: nn.Module | None = None,
        look_forward: Callable[[Tensor], Tensor] = LookForwardTwice(),  # noqa: B008 (it has no state)
    ):
        super().__init__()
        self.embed_dim, self.num_layers = embed_dim, num_layers
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(
                embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_feature_levels, conditioning
            )
            for _ in range(num_layers)
        )
        self.norm = norm
        self.ref_point_head = ref_point_head
        self.look_forward = look_forward
        self.bbox_embed: nn.ModuleList | None = None
        self.class_embed: nn.ModuleList | None = None

    @property
    def conditioned(self) -> bool:
        """Whether the layers take a timestep embedding."""
        return self.layers[0].time_step_embeds is not None

    def project_values(self, memory: Tensor, key_padding_mask: Tensor | None = None) -> list[Tensor]:
        """Each layer's value projection of memory (B, S, C): it depends on the image alone, so every pass reuses it."""
        return [layer.attentions[1].project_value(memory, key_padding_mask) for layer in self.layers]

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        valid_ratios: Tensor | None = None,
        attn_masks: list[Tensor | None] | None = None,
        time_embed: Tensor | None = None,
        projected_values: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode queries and refine their boxes.

        Args:
            query: (B, Q, C) content queries.
            value: memory, (B, S, C); not needed when `projected_values` is given.
            key: part of detrex's call; keys are the values.
            query_pos: (B, Q, C), read where there is no `ref_point_head`.
            key_padding_mask: (B, S) bool, True where padded.
            reference_points: (B, Q, 4) boxes.
            spatial_shapes: (L, 2) int64; level_start_index: (L,) int64.
            valid_ratios: (B, L, 2), the valid part of width and height.
            attn_masks: [mask of self-attention (Q, Q) or None, ignored].
            time_embed: (B, 4C), the embedded timestep of each image; None: unconditioned.
            projected_values: from `project_values`, to spare projecting memory again.

        Returns:
            States (num_layers, B, Q, C), normalized if there is a norm, and the boxes between layers,
            (num_layers - 1, B, Q, 4): those each layer but the first started from. (The heads refine the last layer's
            boxes; detrex reads no more either.)

        Raises:
            ValueError: `time_embed` is given to layers without conditioning.
        """
        if time_embed is not None and not self.conditioned:
            raise ValueError("time_embed is given, but this decoder was built with conditioning=None")
        if projected_values is None:
            projected_values = self.project_values(value, key_padding_mask)
        attn_mask = attn_masks[0] if attn_masks is not None else None
        ratios = torch.cat([valid_ratios, valid_ratios], -1)[:, None]  # (B, 1, L, 4)
        states, references = [], [reference_points]
        for index, (layer, projected_value) in enumerate(zip(self.layers, projected_values, strict=True)):
            boxes = references[-1].detach()
            boxes_per_level = boxes[:, :, None] * ratios  # (B, Q, L, 4)
            geometry = dict(
                reference_points=boxes_per_level, spatial_shapes=spatial_shapes, level_start_index=level_start_index
            )
            if self.ref_point_head is not None:
                # detrex's query positions shrink with a batch's padding, and so the published weights were trained. In
                # inference an image must not depend on its company: it gets what it gets alone.
                positions = boxes_per_level[:, :, 0] if self.training else boxes
                query_pos = self.ref_point_head(get_sine_pos_embed(positions, self.embed_dim // 2))
            query = layer(query, query_pos, projected_value, geometry, attn_mask=attn_mask, time_embed=time_embed)
            states.append(query if self.norm is None else self.norm(query))
            if index + 1 < self.num_layers:
                references.append(self.look_forward(refine_boxes(self.bbox_embed[index](query), boxes)))
        return torch.stack(states), torch.stack(references)[1:]
