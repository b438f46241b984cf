"""DiffuDINO: the shared meta-architecture with contrastive denoising queries. Without diffusion it is DINO."""

import torch
from torch import Tensor, nn

from layers_diffu_detr.denoising import ContrastiveDenoising
from projects.diffu_base.modeling.detector import as_outputs
from projects.diffu_detr.modeling.meta_arch import DiffuDETR, Queries
from projects.diffu_detr.modeling.transformer import Memory, Proposals


class DiffuDINO(DiffuDETR):
    """DINO (Zhang et al. 2023) and its diffusion, DiffuDINO.

    Args:
        dn_number: denoising queries of each kind, positive and negative; 0 turns contrastive denoising off.
        label_noise_ratio: half of it is the probability that a denoising query's label is another class.
        box_noise_scale: size of the denoising queries' shifts, in half box sizes.
        kwargs: see `DiffuDETR`.
    """

    def __init__(
        self, *args, dn_number: int = 100, label_noise_ratio: float = 0.5, box_noise_scale: float = 1.0, **kwargs
    ):
        super().__init__(*args, **kwargs)
        if self.transformer.decoder.ref_point_head is None:
            raise ValueError(
                "transformer.decoder.ref_point_head is None; contrastive denoising queries need it for their positions"
            )
        embed_dim = self.transformer.embed_dim
        # The released DiffuDINO has one more row, of filler boxes; nothing reads it.
        self.label_enc = nn.Embedding(self.num_classes + (self.diffusion is not None), embed_dim)
        self.denoising = ContrastiveDenoising(
            num_classes=self.num_classes,
            dn_number=dn_number,
            label_noise_ratio=label_noise_ratio,
            box_noise_scale=box_noise_scale,
        )

    def prepare_queries(self, memory: Memory, proposals: Proposals, targets: list[dict[str, Tensor]]) -> Queries:
        """The meta-architecture's queries, with denoising queries in front."""
        queries = super().prepare_queries(memory, proposals, targets)
        # Batches without objects have no denoising queries; every parameter still gets a gradient on every rank.
        queries.content = queries.content + 0.0 * self.label_enc.weight.sum()
        denoising = self.denoising(targets, self.label_enc, num_queries=self.num_queries)
        if denoising is None:
            return queries
        return Queries(
            content=torch.cat([denoising.content, queries.content], dim=1),
            boxes=torch.cat([denoising.boxes, queries.boxes], dim=1),
            t=queries.t,
            attn_mask=denoising.attn_mask,
            dn_metas=denoising.metas,
        )

    def decode(self, memory: Memory, queries: Queries) -> dict:
        """As the meta-architecture's; the denoising queries' predictions go to `dn_metas`."""
        if queries.dn_metas is None:
            return super().decode(memory, queries)
        sizes = [queries.content.shape[1] - self.num_queries, self.num_queries]
        # Split rather than sliced: the gradient of each slice would be a tensor of both's size, and then their sum.
        parts = [
            {name: value.split(sizes, dim=1) for name, value in layer.items()}
            for layer in self.decode_layers(memory, queries)
        ]
        denoising, matching = (
            as_outputs([{name: value[part] for name, value in layer.items()} for layer in parts]) for part in (0, 1)
        )
        queries.dn_metas["output_known_lbs_bboxes"] = denoising
        return matching
