"""The two-stage deformable transformer: features -> memory -> proposals -> queries -> decoder."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.content import StateAddedToContent
from layers_diffu_detr.ldm.passes import QueryBoxes
from layers_diffu_detr.ldm.timestep import TimestepEmbedding
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention, remember_sizes
from layers_diffu_detr.position_embedding import get_sine_pos_embed
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from projects.diffu_base.modeling.matcher import LayerPredictions

from .memory import Memory
from .proposals import Candidates, Proposals

ProposalHeads = Callable[[Proposals, nn.Linear, nn.Module], LayerPredictions]


def build_pos_trans(embed_dim: int) -> nn.Linear:
    """Deformable DETR's layer from a box's sine embedding (2C channels) to a query's position and content (2C)."""
    return nn.Linear(2 * embed_dim, 2 * embed_dim)


class DeformableTransformer(nn.Module):
    """Encoder, proposals and decoder of two-stage DETRs, under detrex's parameter names.

    Args:
        encoder, decoder: see `layers_diffu_detr.transformer`.
        num_feature_levels: L.
        ranking: (features (B, S, C), class head) -> scores of the tokens, see `BestClassScore`.
        supervision: decides which predictions the criterion gets of the encoder, see `ChosenTokens`.
        tgt_embed: the queries' learned content (Q rows); None: the content comes from the proposals.
        pos_trans: makes the queries' content and positions from the proposals' boxes, see `build_pos_trans`. For a
            decoder that makes no positions itself.
        time_embed: embeds timesteps for a conditioned decoder; None for baselines.
        box_content: (maps of memory, valid ratios, boxes) -> content sampled at the boxes, see `SampledContent`; None:
            queries have learned content or that of their proposals.
        self_conditioning: (content, state of the last pass) -> content, see `StateAsContent`; None: passes share no
            state.

    Raises:
        ValueError: of two slots that belong together one is empty, or two slots are filled that exclude each other.
    """

    def __init__(
        self,
        encoder: DeformableTransformerEncoder,
        decoder: DeformableTransformerDecoder,
        num_feature_levels: int = 4,
        *,
        ranking: Callable[[Tensor, nn.Linear], Tensor],
        supervision: ProposalHeads,
        tgt_embed: nn.Embedding | None = None,
        pos_trans: nn.Linear | None = None,
        time_embed: TimestepEmbedding | None = None,
        box_content: Callable[[list[Tensor], Tensor, Tensor], Tensor] | None = None,
        self_conditioning: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if (time_embed is not None) != decoder.conditioned:
            raise ValueError(
                "transformer.time_embed and transformer.decoder.conditioning go together: set both or neither"
            )
        if (pos_trans is None) == (decoder.ref_point_head is None):
            raise ValueError(
                "query positions come from transformer.pos_trans or from transformer.decoder.ref_point_head: set one"
            )
        if pos_trans is not None and tgt_embed is not None:
            raise ValueError("content queries come from transformer.pos_trans or transformer.tgt_embed: set one")
        if box_content is not None and tgt_embed is not None:
            raise ValueError("content queries come from transformer.box_content or transformer.tgt_embed: set one")
        self.encoder = encoder
        self.decoder = decoder
        self.embed_dim = encoder.embed_dim
        self.level_embeds = nn.Parameter(torch.empty(num_feature_levels, self.embed_dim))
        self.ranking = ranking
        self.supervision = supervision
        self.tgt_embed = tgt_embed
        self.pos_trans = pos_trans
        self.pos_trans_norm = None if pos_trans is None else nn.LayerNorm(2 * self.embed_dim)
        self.enc_output = nn.Linear(self.embed_dim, self.embed_dim)
        self.enc_output_norm = nn.LayerNorm(self.embed_dim)
        self.time_embed = time_embed
        self.box_content = box_content
        self.self_conditioning = self_conditioning
        self._init_weights()

    def _init_weights(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention | StateAddedToContent):
                module.init_weights()
        nn.init.normal_(self.level_embeds)

    def encode(
        self, features: list[Tensor], valid_sizes: list[list[list[int]]], position_embedding: nn.Module
    ) -> Memory:
        """Encode feature maps.

        Args:
            features: L maps (B, C, H_l, W_l), padded to a common size.
            valid_sizes: (B, L, 2), valid height and width of each image's map.
            position_embedding: padding mask (B, H, W) -> (B, C, H, W).
        """
        memory = self._flatten(features, valid_sizes, position_embedding)
        tokens = self.encoder(
            query=memory.tokens,
            query_pos=memory.positions,
            query_key_padding_mask=memory.padding_mask,
            reference_points=memory.centres[:, :, None] * memory.valid_ratios[:, None],
            spatial_shapes=memory.spatial_shapes,
            level_start_index=memory.level_start_index,
        )
        return replace(memory, tokens=tokens)

    def _flatten(
        self, features: list[Tensor], valid_sizes: list[list[list[int]]], position_embedding: nn.Module
    ) -> Memory:
        device = features[0].device
        to_device = partial(Tensor.to, device=device, non_blocking=True)  # copies without waiting for the backbone
        sizes = [list(feature.shape[-2:]) for feature in features]
        padded = any(of_image != sizes for of_image in valid_sizes)
        shapes, valid_shapes = torch.tensor(sizes), torch.tensor(valid_sizes)  # (L, 2), (B, L, 2)
        valid_ratios = to_device((valid_shapes / shapes).flip(-1))
        masks, centres, positions, levels = [], [], [], []
        for level, (feature, valid) in enumerate(zip(features, to_device(valid_shapes).unbind(1), strict=True)):
            height, width = feature.shape[-2:]
            y, x = torch.arange(height, device=device), torch.arange(width, device=device)
            mask = (y[None, :, None] >= valid[:, 0, None, None]) | (x[None, None, :] >= valid[:, 1, None, None])
            grid = torch.stack(torch.meshgrid(x + 0.5, y + 0.5, indexing="xy"), dim=-1)  # (H, W, 2)
            masks.append(mask.flatten(1))
            centres.append((grid / valid.flip(-1)[:, None, None]).flatten(1, 2))
            positions.append(position_embedding(mask).flatten(2).transpose(1, 2) + self.level_embeds[level])
            levels.append(torch.full((height * width,), level, device=device))
        lengths = shapes.prod(1)
        return Memory(
            tokens=torch.cat([feature.flatten(2).transpose(1, 2) for feature in features], dim=1),
            positions=torch.cat(positions, dim=1),
            padding_mask=torch.cat(masks, dim=1) if padded else None,
            spatial_shapes=remember_sizes(to_device(shapes), sizes),
            level_start_index=to_device(lengths.cumsum(0) - lengths),
            valid_ratios=valid_ratios,
            centres=torch.cat(centres, dim=1),
            levels=torch.cat(levels),
            sizes=sizes,
            valid_sizes=valid_sizes,
        )

    @property
    def proposal_heads(self) -> tuple[nn.Linear, nn.Module]:
        """The class head and the box head of the proposals, which come after those of the decoder's layers."""
        class_head = cast(nn.Linear, self.decoder.class_embed[self.decoder.num_layers])
        return class_head, self.decoder.bbox_embed[self.decoder.num_layers]

    def propose(self, memory: Memory, num_queries: int) -> Proposals:
        """The `num_queries` tokens with the largest scores.

        Each token's box is refined from its grid box, a square of side 0.05 · 2^level around the token's centre.
        Padded tokens rank below all tokens of the image. If there are fewer tokens than queries, empty tokens are
        added. An image therefore gets the same proposals alone and padded in a batch.
        """
        class_head, box_head = self.proposal_heads
        candidates = self._candidates(memory, num_queries)
        with torch.no_grad():
            scores = self.ranking(candidates.features, class_head).masked_fill(~candidates.in_image, float("-inf"))
            best = scores.topk(num_queries, dim=1).indices
        chosen = candidates[best]
        return Proposals(chosen.features, chosen.boxes(box_head), candidates)

    def _candidates(self, memory: Memory, at_least: int) -> Candidates:
        """All tokens, and empty ones if there are fewer than `at_least`."""
        boxes = torch.cat(
            [memory.centres, (0.05 * 2.0**memory.levels)[None, :, None].expand_as(memory.centres)], dim=-1
        )
        in_image = ~memory.padding_mask if memory.padding_mask is not None else boxes.new_ones(boxes.shape[:2]).bool()
        usable = in_image & ((boxes > 0.01) & (boxes < 0.99)).all(-1)
        features = memory.tokens.masked_fill(~usable[..., None], 0.0)
        box_logits = torch.logit(boxes).masked_fill(~usable[..., None], float("inf"))
        if (missing := at_least - features.shape[1]) > 0:
            features = F.pad(features, (0, 0, 0, missing))
            box_logits = F.pad(box_logits, (0, 0, 0, missing), value=float("inf"))
            in_image = F.pad(in_image, (0, missing))
        return Candidates(self.enc_output_norm(self.enc_output(features)), box_logits, in_image)

    def supervised(self, proposals: Proposals) -> LayerPredictions:
        """The encoder's predictions that the criterion gets."""
        return self.supervision(proposals, *self.proposal_heads)

    def queries(self, memory: Memory, proposals: Proposals | None) -> tuple[Tensor, Tensor | None]:
        """The queries' content (B, Q, C) and positions (B, Q, C); None for positions that the decoder makes itself.

        There are three kinds of content: it is learned, it is made from the proposals' boxes together with the
        positions, or it is the proposals' features, detached. With learned content, `proposals` may be None.
        """
        if self.tgt_embed is not None:
            return self.tgt_embed.weight.expand(len(memory.tokens), -1, -1), None
        assert proposals is not None, "queries without learned content need proposals"
        if self.pos_trans is not None and self.pos_trans_norm is not None:
            y_x_w_h = proposals.boxes.detach()[..., [1, 0, 2, 3]]  # gives the embedding detrex's order: x, y, w, h
            embedded = get_sine_pos_embed(y_x_w_h, self.embed_dim // 2)
            positions, content = self.pos_trans_norm(self.pos_trans(embedded)).chunk(2, dim=-1)
            return content, positions
        return proposals.features.detach(), None

    def content_of(
        self, queries: QueryBoxes, memory: Memory, content: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The content (B, Q, C) and positions (B, Q, C) or None of `queries`, from those of all proposals.

        With `box_content`, the content is made from where the boxes are now; like that of proposals, it has no
        gradient. With `self_conditioning`, it also depends on what the queries remember of the pass before.
        """
        if self.box_content is None:
            content = queries.of_source(content)
        else:
            sampled = self.box_content(memory.maps(), memory.valid_ratios, queries.boxes)
            content = self.enc_output_norm(self.enc_output(sampled)).detach()
        if self.self_conditioning is not None:
            # In a first pass too: DistributedDataParallel waits for a gradient of every parameter.
            state = torch.zeros_like(content) if queries.state is None else queries.state
            content = self.self_conditioning(content, state)
        return content, None if positions is None else queries.of_source(positions)

    def project_values(self, memory: Memory) -> list[Tensor]:
        """The decoder layers' projections of memory, which every `decode` of the same images can use."""
        return self.decoder.project_values(memory.tokens, memory.padding_mask)

    def decode(
        self,
        memory: Memory,
        content: Tensor,
        boxes: Tensor,
        t: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        attn_mask: Tensor | None = None,
        valid: Tensor | None = None,
        projected_values: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder.

        Args:
            memory: the images.
            content, boxes: (B, Q, C) and (B, Q, 4), the queries.
            t: (B,), the images' timesteps; None: no timestep.
            positions: (B, Q, C), for a decoder that makes no positions itself.
            attn_mask: (Q, Q) bool, True where the row's query must not attend to the column's.
            valid: (B, Q) bool, False for queries that no query must attend to; None: there are none.
            projected_values: from `project_values`; None: the decoder projects memory itself.

        Returns:
            States and boxes, see `DeformableTransformerDecoder.forward`.
        """
        time_embed = None
        if t is not None:
            assert self.time_embed is not None, "the transformer was built without a timestep embedding"
            time_embed = self.time_embed(t)
        return self.decoder(
            query=content,
            query_pos=positions,
            query_key_padding_mask=None if valid is None else ~valid,
            value=memory.tokens,
            key_padding_mask=memory.padding_mask,
            reference_points=boxes,
            attn_masks=[attn_mask, None],
            time_embed=time_embed,
            projected_values=projected_values,
            spatial_shapes=memory.spatial_shapes,
            level_start_index=memory.level_start_index,
            valid_ratios=memory.valid_ratios,
        )
