"""Deformable encoder and timestep-conditioned deformable decoder, under detrex's parameter names.

Both take the calls of detrex's transformers (DINO, Deformable DETR, Align-DETR), which name every argument. They can
stand in for detrex's own.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import LookForwardTwice, refine_boxes
from layers_diffu_detr.position_embedding import get_sine_pos_embed
from layers_diffu_detr.transformer_layers import (
    DeformableDecoderLayer,
    DeformableEncoderLayer,
    Geometry,
    Layout,
    SelfAttentionMasks,
)


class DeformableTransformerEncoder(nn.Module):
    """A stack of deformable encoder layers over the tokens of all levels.

    Args:
        embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_layers, num_feature_levels: as in detrex.
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
    ) -> None:
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
        *,
        query_pos: Tensor,
        query_key_padding_mask: Tensor | None = None,
        spatial_shapes: Tensor,
        reference_points: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Encode tokens.

        Args:
            query: (B, S, C), the features of all levels.
            query_pos: (B, S, C), their positions.
            query_key_padding_mask: (B, S) bool, True where padded; None: nothing is padded.
            spatial_shapes, level_start_index: see `Layout`.
            reference_points: (B, S, L, 2), relative to the padded maps' size.
            key, value, valid_ratios, kwargs: not used. detrex passes them, since its transformer gives encoder and
                decoder the same keywords.

        Returns:
            Memory, (B, S, C).
        """
        geometry = Geometry(
            reference_points=reference_points, spatial_shapes=spatial_shapes, level_start_index=level_start_index
        )
        for layer in self.layers:
            query = layer(query, query_pos, query_key_padding_mask, geometry)
        return query


class DeformableTransformerDecoder(nn.Module):
    """A stack of deformable decoder layers that refine reference boxes.

    As in detrex, the meta-architecture makes the heads and sets them on this module.

    Attributes:
        class_embed, bbox_embed: the heads, one per layer; the meta-architectures have more for the encoder's proposals.

    Args:
        embed_dim, num_heads, feedforward_dim, attn_dropout, ffn_dropout, num_layers, num_feature_levels: as in detrex.
        conditioning: the timestep conditioning, copied for each layer; None: the decoder takes no timestep.
        norm: is applied to every layer's state before the heads (DINO); None: no norm (Deformable DETR).
        ref_point_head: makes the query positions anew for every layer, from the sine embedding of the boxes (DINO), see
            `build_ref_point_head`; None: all layers use the `query_pos` that the caller gives (Deformable DETR).
        look_forward: decides which gradient flows from a layer's boxes to the layer before, see `LookForwardTwice`.
    """

    class_embed: nn.ModuleList
    bbox_embed: nn.ModuleList

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
    ) -> None:
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

    @property
    def conditioned(self) -> bool:
        """Whether the layers take a timestep embedding."""
        return self._layers[0].time_step_embeds is not None

    @property
    def _layers(self) -> list[DeformableDecoderLayer]:
        return cast(list[DeformableDecoderLayer], self.layers)

    def project_values(self, memory: Tensor, key_padding_mask: Tensor | None = None) -> list[Tensor]:
        """Each layer's projection of memory (B, S, C), which depends on the image alone: all passes can share it."""
        return [layer.project_value(memory, key_padding_mask) for layer in self._layers]

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        query_pos: Tensor | None = None,
        query_key_padding_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
        attn_masks: list[Tensor | None] | None = None,
        time_embed: Tensor | None = None,
        projected_values: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode queries and refine their boxes.

        Args:
            query, query_pos: (B, Q, C), content and positions; a `ref_point_head` makes the positions itself.
            key: not used; detrex passes it.
            query_key_padding_mask: (B, Q) bool, True for queries that no query must attend to; None: there are none.
            value, key_padding_mask: memory (B, S, C), and (B, S) bool, True where memory is padded.
            reference_points: (B, Q, 4), the boxes.
            spatial_shapes, level_start_index: see `Layout`.
            valid_ratios: (B, L, 2), the valid part of width and height.
            attn_masks: self-attention's mask (Q, Q) or None, then one for cross-attention, which is not used.
            time_embed: (B, 4C), the embedded timestep of each image; None: unconditioned.
            projected_values: from `project_values`, in the place of `value`.

        Returns:
            States (num_layers, B, Q, C), normalized if there is a norm, and boxes (num_layers - 1, B, Q, 4): those that
            each layer but the first was given. The caller's heads refine the boxes of the last layer.
        """
        if projected_values is None:
            if value is None:
                raise ValueError("value and projected_values are both None; the decoder needs one of them")
            projected_values = self.project_values(value, key_padding_mask)
        layout = Layout(spatial_shapes=spatial_shapes, level_start_index=level_start_index)
        ratios = torch.cat([valid_ratios, valid_ratios], -1)[:, None]  # (B, 1, L, 4)
        masks = SelfAttentionMasks(
            attn_mask=attn_masks[0] if attn_masks is not None else None, query_key_padding_mask=query_key_padding_mask
        )
        return self._decode(query, query_pos, reference_points, projected_values, layout, ratios, masks, time_embed)

    def _decode(
        self,
        query: Tensor,
        query_pos: Tensor | None,
        reference_points: Tensor,
        projected_values: list[Tensor],
        layout: Layout,
        ratios: Tensor,
        masks: SelfAttentionMasks,
        time_embed: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Apply layer after layer, see `forward`."""
        states, references = [], [reference_points]
        for index, (layer, projected_value) in enumerate(zip(self.layers, projected_values, strict=True)):
            boxes = references[-1].detach()
            boxes_per_level = boxes[:, :, None] * ratios  # (B, Q, L, 4)
            geometry = Geometry(reference_points=boxes_per_level, **layout)
            if self.ref_point_head is not None:
                # The published weights were trained with positions that shrink with a batch's padding, as in detrex. In
                # inference, where an image must not depend on the others of its batch, they ignore the padding.
                positions = boxes_per_level[:, :, 0] if self.training else boxes
                query_pos = self.ref_point_head(get_sine_pos_embed(positions, self.embed_dim // 2))
            query = layer(query, query_pos, projected_value, geometry, time_embed=time_embed, **masks)
            states.append(query if self.norm is None else self.norm(query))
            if index + 1 < self.num_layers:
                references.append(self.look_forward(refine_boxes(self.bbox_embed[index](query), boxes)))
        return torch.stack(states), torch.stack(references)[1:]
