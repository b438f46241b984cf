"""The two-stage deformable transformer: features -> memory -> proposals, and the decoder's surroundings."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.ldm.timestep import TimestepEmbedding
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder


@dataclass
class Memory:
    """The tokens of a batch of images: all levels flattened, finest first.

    tokens: (B, S, C). positions: (B, S, C), position and level embeddings.
    padding_mask: (B, S) bool, True where padded; None when no image of the batch is padded.
    spatial_shapes: (L, 2) int64, padded height and width; level_start_index: (L,) int64.
    valid_ratios: (B, L, 2), the valid part of width and height.
    centres: (B, S, 2), each token's centre (x, y), normalized to the valid part of its level.
    levels: (S,) int64, each token's level.
    """

    tokens: Tensor
    positions: Tensor
    padding_mask: Tensor | None
    spatial_shapes: Tensor
    level_start_index: Tensor
    valid_ratios: Tensor
    centres: Tensor
    levels: Tensor

    @property
    def geometry(self) -> dict[str, Tensor]:
        return dict(
            spatial_shapes=self.spatial_shapes, level_start_index=self.level_start_index, valid_ratios=self.valid_ratios
        )


@dataclass
class Proposals:
    """The encoder's best tokens: their features (B, Q, C), class logits (B, Q, K) and boxes (B, Q, 4), best first."""

    features: Tensor
    logits: Tensor
    boxes: Tensor


class DeformableTransformer(nn.Module):
    """Encoder, proposals and decoder of two-stage DETRs, under detrex's parameter names.

    Args:
        encoder, decoder: see `layers_diffu_detr.transformer`.
        num_feature_levels: levels L.
        tgt_embed: learned content queries (Q rows); None: content is the proposals' features, detached.
        time_embed: embeds timesteps for a conditioned decoder; None for baselines.
    """

    def __init__(
        self,
        encoder: DeformableTransformerEncoder,
        decoder: DeformableTransformerDecoder,
        num_feature_levels: int = 4,
        tgt_embed: nn.Embedding | None = None,
        time_embed: TimestepEmbedding | None = None,
    ):
        super().__init__()
        if (time_embed is not None) != decoder.conditioned:
            raise ValueError(
                "transformer.time_embed and transformer.decoder.conditioning go together: set both or neither"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.embed_dim = encoder.embed_dim
        self.level_embeds = nn.Parameter(torch.empty(num_feature_levels, self.embed_dim))
        self.tgt_embed = tgt_embed
        self.enc_output = nn.Linear(self.embed_dim, self.embed_dim)
        self.enc_output_norm = nn.LayerNorm(self.embed_dim)
        self.time_embed = time_embed
        self._init_weights()

    def _init_weights(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.normal_(self.level_embeds)

    def encode(self, features: list[Tensor], valid_sizes: Tensor, position_embedding: nn.Module) -> Memory:
        """Encode feature maps.

        Args:
            features: L maps (B, C, H_l, W_l), padded to a common size.
            valid_sizes: (B, L, 2) int64 on the CPU, valid height and width of each image's map.
            position_embedding: padding mask (B, H, W) -> (B, C, H, W).
        """
        memory = self._flatten(features, valid_sizes, position_embedding)
        tokens = self.encoder(
            query=memory.tokens,
            query_pos=memory.positions,
            query_key_padding_mask=memory.padding_mask,
            reference_points=memory.centres[:, :, None] * memory.valid_ratios[:, None],
            **memory.geometry,
        )
        return replace(memory, tokens=tokens)

    def _flatten(self, features: list[Tensor], valid_sizes: Tensor, position_embedding: nn.Module) -> Memory:
        device = features[0].device
        shapes = torch.tensor([feature.shape[-2:] for feature in features])  # (L, 2)
        padded = bool((valid_sizes != shapes).any())
        valid_ratios = (valid_sizes / shapes).flip(-1).to(device)
        masks, centres, positions, levels = [], [], [], []
        for level, (feature, sizes) in enumerate(zip(features, valid_sizes.to(device).unbind(1), strict=True)):
            height, width = feature.shape[-2:]
            y, x = torch.arange(height, device=device), torch.arange(width, device=device)
            mask = (y[None, :, None] >= sizes[:, 0, None, None]) | (x[None, None, :] >= sizes[:, 1, None, None])
            grid = torch.stack(torch.meshgrid(x + 0.5, y + 0.5, indexing="xy"), dim=-1)  # (H, W, 2)
            masks.append(mask.flatten(1))
            centres.append((grid / sizes.flip(-1)[:, None, None]).flatten(1, 2))
            positions.append(position_embedding(mask).flatten(2).transpose(1, 2) + self.level_embeds[level])
            levels.append(torch.full((height * width,), level, device=device))
        lengths = shapes.prod(1)
        return Memory(
            tokens=torch.cat([feature.flatten(2).transpose(1, 2) for feature in features], dim=1),
            positions=torch.cat(positions, dim=1),
            padding_mask=torch.cat(masks, dim=1) if padded else None,
            spatial_shapes=shapes.to(device),
            level_start_index=(lengths.cumsum(0) - lengths).to(device),
            valid_ratios=valid_ratios,
            centres=torch.cat(centres, dim=1),
            levels=torch.cat(levels),
        )

    def propose(self, memory: Memory, num_queries: int) -> Proposals:
        """The `num_queries` tokens of best class score, with boxes refined from a grid of side 0.05 · 2^level.

        A padded token is never preferred to one of the image; where an image has fewer tokens than queries, empty ones
        fill up: the same whether it comes alone or padded in a batch.
        """
        boxes = torch.cat(
            [memory.centres, (0.05 * 2.0**memory.levels)[None, :, None].expand_as(memory.centres)], dim=-1
        )
        in_image = ~memory.padding_mask if memory.padding_mask is not None else boxes.new_ones(boxes.shape[:2]).bool()
        usable = in_image & ((boxes > 0.01) & (boxes < 0.99)).all(-1)
        features = memory.tokens.masked_fill(~usable[..., None], 0.0)
        box_logits = torch.logit(boxes).masked_fill(~usable[..., None], float("inf"))
        if (missing := num_queries - features.shape[1]) > 0:
            features = F.pad(features, (0, 0, 0, missing))
            box_logits = F.pad(box_logits, (0, 0, 0, missing), value=float("inf"))
            in_image = F.pad(in_image, (0, missing))
        features = self.enc_output_norm(self.enc_output(features))
        logits = self.decoder.class_embed[self.decoder.num_layers](features)
        scores = logits.detach().max(-1).values.masked_fill(~in_image, float("-inf"))
        best = scores.topk(num_queries, dim=1).indices[..., None]
        features = features.gather(1, best.expand(-1, -1, features.shape[-1]))
        box_deltas = self.decoder.bbox_embed[self.decoder.num_layers](features)
        return Proposals(
            features=features,
            logits=logits.gather(1, best.expand(-1, -1, logits.shape[-1])),
            boxes=(box_deltas.float() + box_logits.gather(1, best.expand(-1, -1, 4))).sigmoid(),
        )

    def content_queries(self, proposals: Proposals) -> Tensor:
        """The queries' content, (B, Q, C): learned, or the proposals' features, detached."""
        if self.tgt_embed is None:
            return proposals.features.detach()
        return self.tgt_embed.weight.expand(len(proposals.features), -1, -1)

    def project_values(self, memory: Memory) -> list[Tensor]:
        """The decoder layers' projections of memory: computed once, they serve every `decode` of these images."""
        return self.decoder.project_values(memory.tokens, memory.padding_mask)

    def decode(
        self,
        memory: Memory,
        content: Tensor,
        boxes: Tensor,
        t: Tensor | None = None,
        *,
        attn_mask: Tensor | None = None,
        projected_values: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder on content (B, Q, C) and boxes (B, Q, 4) at timesteps t (B,); returns what it returns."""
        return self.decoder(
            query=content,
            value=memory.tokens,
            key_padding_mask=memory.padding_mask,
            reference_points=boxes,
            attn_masks=[attn_mask, None],
            time_embed=None if t is None else self.time_embed(t),
            projected_values=projected_values,
            **memory.geometry,
        )
