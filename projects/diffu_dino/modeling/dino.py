"""DiffuDINO: the shared meta-architecture with contrastive denoising queries. Without diffusion it is DINO."""

from typing import Any

import torch
from torch import nn

from layers_diffu_detr.denoising import ContrastiveDenoising
from layers_diffu_detr.targets import Target
from projects.diffu_detr.modeling.memory import Memory
from projects.diffu_detr.modeling.meta_arch import DiffuDETR
from projects.diffu_detr.modeling.proposals import Proposals
from projects.diffu_detr.modeling.queries import Queries


class DiffuDINO(DiffuDETR):
    """DINO (Zhang et al. 2023) and, with diffusion, DiffuDINO.

    Args:
        dn_number, label_noise_ratio, box_noise_scale: of the denoising queries, see `ContrastiveDenoising`.
        kwargs: see `DiffuDETR`.

    Raises:
        ValueError: the decoder has no `ref_point_head`, which denoising queries need for their positions.
    """

    def __init__(
        self,
        *args: Any,
        dn_number: int = 100,
        label_noise_ratio: float = 0.5,
        box_noise_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.transformer.decoder.ref_point_head is None:
            raise ValueError(
                "transformer.decoder.ref_point_head is None; contrastive denoising queries need it for their positions"
            )
        embed_dim = self.transformer.embed_dim
        # The released DiffuDINO has a further row, for filler boxes. Nothing reads it.
        self.label_enc = nn.Embedding(self.num_classes + (self.diffusion is not None), embed_dim)
        self.denoising = ContrastiveDenoising(
            num_classes=self.num_classes,
            dn_number=dn_number,
            label_noise_ratio=label_noise_ratio,
            box_noise_scale=box_noise_scale,
        )

    def prepare_queries(self, memory: Memory, proposals: Proposals, targets: list[Target]) -> Queries:
        """Prepare the meta-architecture's queries, and put denoising queries before them."""
        queries = super().prepare_queries(memory, proposals, targets)
        # In a batch without objects, which has no denoising queries, the label embedding must get a gradient too:
        # DistributedDataParallel would wait for it.
        queries.content = queries.content + 0.0 * self.label_enc.weight.sum()
        denoising = self.denoising(targets, self.label_enc, num_queries=queries.boxes.shape[1])
        if denoising is None:
            return queries
        valid = queries.valid
        if valid is not None:
            valid = torch.cat([valid.new_ones(denoising.boxes.shape[:2]), valid], dim=1)
        return Queries(
            content=torch.cat([denoising.content, queries.content], dim=1),
            boxes=torch.cat([denoising.boxes, queries.boxes], dim=1),
            t=queries.t,
            valid=valid,
            attn_mask=denoising.attn_mask,
            dn_metas=denoising.metas,
            start=queries.start,
        )
