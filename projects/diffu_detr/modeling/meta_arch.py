"""The meta-architecture of the DETR family: images -> features -> memory -> proposals -> queries -> decoder -> boxes.

Diffusion on or off, the stages are the same: a baseline's queries start from the proposals' boxes and pass the decoder
once; a diffusion model's start from noise (in training: from diffused ground truth) and pass it once per DDIM step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head, predict, refine_boxes
from layers_diffu_detr.denoising import DiffusedQueries
from layers_diffu_detr.ldm.ddim import DenoisingPass, Prediction, Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from projects.diffu_base.modeling.batching import groups_by_size, pad_and_cat, valid_sizes_of
from projects.diffu_base.modeling.detector import Detector, as_outputs, trajectories
from projects.diffu_detr.modeling.proposals import Proposals
from projects.diffu_detr.modeling.transformer import DeformableTransformer, Memory


@dataclass
class Queries:
    """What the decoder starts from in training.

    content: (B, N, C); boxes: (B, N, 4); t: (B,) int64, None without diffusion.
    positions: (B, N, C), None where the decoder makes them from the boxes.
    attn_mask: (N, N) bool, True where masked; dn_metas: detrex's dict, when contrastive denoising queries come first.
    """

    content: Tensor
    boxes: Tensor
    t: Tensor | None
    positions: Tensor | None = None
    attn_mask: Tensor | None = None
    dn_metas: dict | None = None


class DiffuDETR(Detector):
    """Two-stage deformable detector whose queries' boxes may be denoised (DiffuDETR, ICLR 2026).

    Args:
        backbone: images (B, 3, H, W) -> {name: (B, C_i, H_i, W_i)}.
        position_embedding: padding mask (B, H, W) -> (B, C, H, W).
        neck: backbone maps -> list of levels (B, C, H_l, W_l).
        transformer: see `DeformableTransformer`.
        embed_dim, num_classes, num_queries: C, K, Q.
        criterion: (outputs, targets, dn_metas) -> unweighted losses; has `weighted`.
        sampler: how to infer: `SinglePass` (baselines) or `DDIMSampler`.
        diffusion: the forward process; None makes the baseline.
        diffused_queries: how ground truth becomes training queries; needed with `diffusion`.
        select_box_nums_for_evaluation: detections kept per image.
        pixel_mean, pixel_std: of the backbone's training, in the order of `input_format`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        position_embedding: nn.Module,
        neck: nn.Module,
        transformer: DeformableTransformer,
        *,
        embed_dim: int,
        num_classes: int,
        num_queries: int,
        criterion: nn.Module,
        sampler: Sampler,
        diffusion: GaussianDiffusion | None = None,
        diffused_queries: DiffusedQueries | None = None,
        select_box_nums_for_evaluation: int = 300,
        pixel_mean: Sequence[float] = (123.675, 116.280, 103.530),
        pixel_std: Sequence[float] = (58.395, 57.120, 57.375),
        input_format: str = "RGB",
    ):
        super().__init__(
            num_classes=num_classes,
            sampler=sampler,
            diffusion=diffusion,
            select_box_nums_for_evaluation=select_box_nums_for_evaluation,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            input_format=input_format,
        )
        _check_slots(diffusion, diffused_queries, transformer, sampler)
        self.backbone = backbone
        self.position_embedding = position_embedding
        self.neck = neck
        self.transformer = transformer
        self.num_queries = num_queries
        self.criterion = criterion
        self.diffused_queries = diffused_queries
        num_heads = transformer.decoder.num_layers + 1  # one per decoder layer, the last for the proposals
        self.class_embed = nn.ModuleList(build_class_head(embed_dim, num_classes) for _ in range(num_heads))
        self.bbox_embed = nn.ModuleList(build_box_head(embed_dim) for _ in range(num_heads))
        transformer.decoder.class_embed = self.class_embed
        transformer.decoder.bbox_embed = self.bbox_embed

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Detect, or in training compute losses.

        Args:
            batched_inputs: detectron2's dicts: `image` (3, H, W); in training `instances` with `gt_boxes` (absolute
                xyxy) and `gt_classes`; `height` and `width` of the output; `image_id`, which seeds the sampler's noise.

        Returns:
            In training the weighted losses by name, else [{"instances": Instances}] with `pred_boxes` (absolute xyxy of
            the output size), `scores` and `pred_classes`, best first.
        """
        images = self.preprocess(batched_inputs)
        memory = self.encode(images)
        proposals = self.propose(memory)
        if self.training:
            targets = self.prepare_targets(batched_inputs)
            queries = self.prepare_queries(memory, proposals, targets)
            outputs = self.decode(memory, queries)
            outputs["enc_outputs"] = self.transformer.supervised(proposals)
            return self.criterion.weighted(self.criterion(outputs, targets, queries.dn_metas))
        return self.detect(memory, proposals, images, batched_inputs)

    def detect(
        self, memory: Memory, proposals: Proposals | None, images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """Sample, then pool the passes' detections."""
        passes = self.sample(memory, proposals, batched_inputs)
        return self.postprocess(self.sampler.ensemble(passes), images, batched_inputs)

    def encode(self, images: list[Tensor]) -> Memory:
        """Images to the encoder's memory."""
        levels, valid_sizes = self.extract_features(images)
        return self.transformer.encode(levels, valid_sizes, self.position_embedding)

    def extract_features(self, images: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Backbone and neck.

        In training the images are padded to one batch. In inference only images of equal size share one: convolutions
        and the neck's group norm would see the padding, so that a detection would depend on the company of its image.

        Returns:
            L maps (B, C, H_l, W_l), padded with zeros, and the valid height and width of each, (B, L, 2) int64 on the
            CPU.
        """
        groups = [list(range(len(images)))] if self.training else groups_by_size(images)
        levels_of_group, valid_sizes = [], [None] * len(images)
        for group in groups:
            batch = ImageList.from_tensors([images[i] for i in group]).tensor
            levels = self.neck(self.backbone(batch))
            levels_of_group.append(levels)
            for i in group:
                valid_sizes[i] = valid_sizes_of(images[i].shape[-2:], batch.shape[-2:], levels)
        if len(groups) == 1:
            return levels_of_group[0], torch.tensor(valid_sizes)
        order = torch.tensor([i for group in groups for i in group]).argsort().to(self.device)
        return [pad_and_cat(maps)[order] for maps in zip(*levels_of_group, strict=True)], torch.tensor(valid_sizes)

    def propose(self, memory: Memory) -> Proposals | None:
        """The tokens that rank best; None in inference with diffused boxes and learned content, which read none."""
        if not self.training and self.diffusion is not None and self.transformer.tgt_embed is not None:
            return None
        return self.transformer.propose(memory, self.num_queries)

    def prepare_queries(self, memory: Memory, proposals: Proposals, targets: list[dict[str, Tensor]]) -> Queries:
        """Training queries: from the proposals' boxes, or with diffusion from diffused ground truth."""
        content, positions = self.transformer.queries(memory, proposals)
        if self.diffusion is None:
            return Queries(content, proposals.boxes.detach(), t=None, positions=positions)
        boxes, t = self.diffused_queries(targets, self.num_queries, self.diffusion)
        return Queries(content, boxes, t, positions)

    def decode(self, memory: Memory, queries: Queries) -> dict:
        """Training's single decoder pass: detrex's `pred_logits`, `pred_boxes`, `aux_outputs`."""
        return as_outputs(self.decode_layers(memory, queries))

    def decode_layers(self, memory: Memory, queries: Queries) -> list[dict[str, Tensor]]:
        """Every decoder layer's `pred_logits` (B, N, K) and `pred_boxes` (B, N, 4)."""
        states, refined = self.transformer.decode(
            memory,
            queries.content,
            queries.boxes,
            queries.t,
            positions=queries.positions,
            attn_mask=queries.attn_mask,
        )
        references = torch.cat([queries.boxes[None], refined])
        return predict(states, references, self.class_embed, self.bbox_embed)

    def filters(self, states: Tensor) -> Tensor | None:
        """What queries in `states` (B, Q, C) predict for masks, (B, Q, F); None for a model of boxes alone."""
        return None

    @torch.no_grad()
    def sample(self, memory: Memory, proposals: Proposals | None, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """Run the sampler; what depends on the images alone is computed once, before its first pass."""
        content, positions = self.transformer.queries(memory, proposals)
        projected_values = self.transformer.project_values(memory)

        def denoise(boxes: Tensor | None, t: Tensor | None) -> Prediction:
            boxes = proposals.boxes if boxes is None else boxes
            states, refined = self.transformer.decode(
                memory, content, boxes, t, positions=positions, projected_values=projected_values
            )
            reference = refined[-1] if len(refined) else boxes
            logits = self.class_embed[len(refined)](states[-1])  # the last layer's heads alone: no other is read
            pred_boxes = refine_boxes(self.bbox_embed[len(refined)](states[-1]), reference)
            return self.prediction(logits, pred_boxes, self.filters(states[-1]))

        noise = None if self.diffusion is None else self.noise_source(batched_inputs, self.num_queries)
        return self.sampler.run(denoise, self.diffusion, noise)

    @torch.no_grad()
    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict]]:
        """How each image's boxes came about, see `trajectories`."""
        if self.diffusion is None:
            raise ValueError("a model without diffusion has no denoising trajectory")
        images = self.preprocess(batched_inputs)
        memory = self.encode(images)
        passes = self.sample(memory, self.propose(memory), batched_inputs)
        return trajectories(passes, images, batched_inputs)


def _check_slots(
    diffusion: GaussianDiffusion | None,
    diffused_queries: DiffusedQueries | None,
    transformer: DeformableTransformer,
    sampler: Sampler,
) -> None:
    """Refuse slots of which one belongs to a diffusion model and the other to a baseline."""
    if (diffusion is None) != (diffused_queries is None):
        raise ValueError("model.diffusion and model.diffused_queries go together: set both, or neither for a baseline")
    if (diffusion is None) != (transformer.time_embed is None):
        raise ValueError("model.diffusion and model.transformer.time_embed go together: set both or neither")
    if (diffusion is not None) != sampler.needs_diffusion:
        raise ValueError(
            "model.diffusion and model.sampler go together: a baseline takes a sampler that needs no diffusion, a "
            f"diffusion model one that does; model.sampler is {type(sampler).__name__}"
        )
