"""The meta-architecture of the DETR family: images -> features -> memory -> proposals -> queries -> decoder -> boxes.

A diffusion model and its baseline have the same stages. The baseline's queries start from the proposals' boxes and pass
the decoder once. In inference, the diffusion model's queries start from noise and pass the decoder once per step; in
training, they start from diffused ground truth and pass it once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head, predict, refine_boxes
from layers_diffu_detr.checkpoint_names import CheckpointNames
from layers_diffu_detr.ldm.ddim import Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from layers_diffu_detr.ldm.passes import Denoise, DenoisingPass, PassPrediction, QueryBoxes
from layers_diffu_detr.ldm.starts import ProposalStart
from layers_diffu_detr.targets import Target
from layers_diffu_detr.training_batch import TrainingBatch, TrainingStart
from projects.diffu_base.modeling.batching import groups_by_size, pad_and_cat, stack_padded, valid_sizes_of
from projects.diffu_base.modeling.criterion import LayerCriterion
from projects.diffu_base.modeling.detector import Detector, as_outputs, trajectories
from projects.diffu_detr.modeling.memory import Memory
from projects.diffu_detr.modeling.proposals import Proposals
from projects.diffu_detr.modeling.queries import OneToManyQueries, Queries, summed, without_invalid
from projects.diffu_detr.modeling.slots import check_slots
from projects.diffu_detr.modeling.transformer import DeformableTransformer


class DiffuDETR(Detector):
    """Two-stage deformable detector whose queries' boxes may be denoised (DiffuDETR, ICLR 2026).

    Args:
        backbone: images (B, 3, H, W) -> {name: (B, C_i, H_i, W_i)}.
        position_embedding: padding mask (B, H, W) -> (B, C, H, W).
        neck: backbone maps -> list of levels (B, C, H_l, W_l).
        transformer: see `DeformableTransformer`.
        embed_dim: C.
        num_queries: Q.
        criterion: (outputs, targets, dn_metas) -> unweighted losses, see `SetCriterion`.
        sampler: `SinglePass` for a baseline, `DDIMSampler` for a diffusion model.
        diffused_queries: makes the boxes that training starts from, see `TrainingStart`; a baseline has none.
        auxiliary_queries: adds a group of queries in training, see `OneToManyQueries`; None: there is none.
        refinement_times: timesteps of further passes in training, each from the boxes of the pass before. With
            `transformer.self_conditioning`, it is also given the state of that pass.
        num_classes, diffusion, select_box_nums_for_evaluation, pixel_mean, pixel_std, input_format: see `Detector`.

    Raises:
        ValueError: some slots are filled as in a baseline, others as in a diffusion model.
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
        criterion: LayerCriterion,
        sampler: Sampler,
        diffusion: GaussianDiffusion | None = None,
        diffused_queries: TrainingStart | None = None,
        auxiliary_queries: OneToManyQueries | None = None,
        refinement_times: Sequence[int] = (),
        select_box_nums_for_evaluation: int = 300,
        pixel_mean: Sequence[float] = (123.675, 116.280, 103.530),
        pixel_std: Sequence[float] = (58.395, 57.120, 57.375),
        input_format: str = "RGB",
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            num_boxes=num_queries,
            sampler=sampler,
            diffusion=diffusion,
            select_box_nums_for_evaluation=select_box_nums_for_evaluation,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            input_format=input_format,
        )
        check_slots(diffusion, diffused_queries, transformer, sampler, refinement_times)
        self.backbone = backbone
        self.position_embedding = position_embedding
        self.neck = neck
        self.transformer = transformer
        self.criterion = criterion
        self.diffused_queries = diffused_queries
        self.auxiliary_queries = auxiliary_queries
        self.refinement_times = list(refinement_times)
        num_heads = transformer.decoder.num_layers + 1  # one per decoder layer, and the last for the proposals
        self.class_embed = nn.ModuleList(build_class_head(embed_dim, num_classes) for _ in range(num_heads))
        self.bbox_embed = nn.ModuleList(build_box_head(embed_dim) for _ in range(num_heads))
        transformer.decoder.class_embed = self.class_embed
        transformer.decoder.bbox_embed = self.bbox_embed

    def checkpoint_names(self) -> CheckpointNames:
        """Names in checkpoints. Those of a model without self-conditioning, or with learned content, fit too."""
        ignored = {}
        if self.transformer.tgt_embed is None:
            ignored["transformer.tgt_embed."] = "learned content of queries, which here comes from the image"
        return CheckpointNames(ignored=ignored, added_parts=("transformer.self_conditioning",))

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Detect, or in training compute losses, see `Detector.forward`."""
        images = self.preprocess(batched_inputs)
        memory = self.encode(images)
        if not self.training:
            return self.detect(memory, images, batched_inputs)
        proposals = self.transformer.propose(memory, self.num_boxes)
        targets = self.prepare_targets(batched_inputs)
        queries = self.add_auxiliary_queries(self.prepare_queries(memory, proposals, targets), memory, proposals)
        outputs, dn_metas = self.decode(memory, queries)
        outputs["enc_outputs"] = self.transformer.supervised(proposals)
        passes = [(outputs, dn_metas), *self.refine(memory, proposals, queries, outputs)]
        return summed(self.criterion.weighted(self.criterion(each, targets, metas)) for each, metas in passes)

    def encode(self, images: list[Tensor]) -> Memory:
        """Images -> the encoder's memory."""
        levels, valid_sizes = self.extract_features(images)
        return self.transformer.encode(levels, valid_sizes, self.position_embedding)

    def extract_features(self, images: list[Tensor]) -> tuple[list[Tensor], list[list[list[int]]]]:
        """Apply backbone and neck.

        In training all images are padded to one batch. In inference only images of equal size share one, since an
        image's detections must not depend on the others of its batch: convolutions and the neck's group norm would see
        the padding.

        Returns:
            L maps (B, C, H_l, W_l), padded with zeros, and the valid height and width of each, (B, L, 2) numbers.
        """
        groups = [list(range(len(images)))] if self.training else groups_by_size(images)
        levels_of_group: list[list[Tensor]] = []
        valid_sizes: list[list[list[int]]] = [[]] * len(images)
        for group in groups:
            batch = stack_padded([images[i] for i in group])
            levels = self.neck(self.backbone(batch))
            levels_of_group.append(levels)
            for i in group:
                valid_sizes[i] = valid_sizes_of(images[i].shape[-2:], batch.shape[-2:], levels)
        if len(groups) == 1:
            return levels_of_group[0], valid_sizes
        order = torch.tensor([i for group in groups for i in group]).argsort().to(self.device)
        return [pad_and_cat(maps)[order] for maps in zip(*levels_of_group, strict=True)], valid_sizes

    def propose_for_inference(self, memory: Memory) -> Proposals | None:
        """The proposals, or None if inference reads none, as with learned content and boxes that start from noise."""
        if self.transformer.tgt_embed is not None and not self.sampler.start.needs_proposals:
            return None
        return self.transformer.propose(memory, self.num_boxes)

    def prepare_queries(self, memory: Memory, proposals: Proposals, targets: list[Target]) -> Queries:
        """Training queries. A baseline starts as in inference, a diffusion model from boxes made of the targets."""
        return self.queries_at(memory, proposals, *self.training_start(memory, proposals, targets))

    def queries_at(self, memory: Memory, proposals: Proposals, start: QueryBoxes, t: Tensor | None) -> Queries:
        """The queries that start from `start` at the timesteps t (B,)."""
        content, positions = self.transformer.content_of(start, memory, *self.transformer.queries(memory, proposals))
        return Queries(start, content, start.boxes, t, positions, start.valid)

    def refine(
        self, memory: Memory, proposals: Proposals, queries: Queries, outputs: dict[str, Any]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Decode further passes in training, at `refinement_times`, from the first pass's `queries` and `outputs`.

        A pass starts from the boxes that the pass before has predicted. Gradients flow back through the state that it
        may be given, but not through the boxes, as between layers.
        """
        for time in self.refinement_times:
            start = replace(queries.start, boxes=outputs["pred_boxes"].detach(), state=outputs["states"])
            t = torch.full((len(start.boxes),), time, device=start.boxes.device)
            outputs, metas = self.decode(memory, self.queries_at(memory, proposals, start, t))
            yield outputs, metas

    def add_auxiliary_queries(self, queries: Queries, memory: Memory, proposals: Proposals) -> Queries:
        """The queries with those of `auxiliary_queries`, which start from all proposals."""
        if self.auxiliary_queries is None:
            return queries
        start = QueryBoxes(proposals.boxes.detach())
        content, positions = self.transformer.content_of(start, memory, *self.transformer.queries(memory, proposals))
        return self.auxiliary_queries(queries, content, start.boxes, positions)

    def training_start(
        self, memory: Memory, proposals: Proposals, targets: list[Target]
    ) -> tuple[QueryBoxes, Tensor | None]:
        """The boxes that training's queries start from, and each image's timestep (B,), None for a baseline."""
        boxes = proposals.boxes.detach()
        if self.diffusion is None or self.diffused_queries is None:
            assert isinstance(self.sampler.start, ProposalStart)  # see SinglePass
            return self.sampler.start.choose(boxes), None
        denoise = self.denoiser(memory, proposals)
        return self.diffused_queries(TrainingBatch(targets, self.num_boxes, self.diffusion, boxes, denoise))

    def decode(self, memory: Memory, queries: Queries) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Training's single pass of the decoder.

        Returns:
            The predictions of the queries that are matched with targets, in detrex's form, see `SetCriterion.forward`,
            with those of auxiliary queries in `one_to_many`; and detrex's `dn_metas` with those of the denoising
            queries in `output_known_lbs_bboxes`, None if there are none.
        """
        layers = self.decode_layers(memory, queries)
        if queries.dn_metas is None and self.auxiliary_queries is None:
            return as_outputs(layers), None
        denoising, auxiliary, outputs = map(as_outputs, queries.split(layers))
        if self.auxiliary_queries is not None and queries.num_auxiliary:
            outputs["one_to_many"] = {**auxiliary, "matches": self.auxiliary_queries.matches}
        dn_metas = queries.dn_metas
        return outputs, None if dn_metas is None else {**dn_metas, "output_known_lbs_bboxes": denoising}

    def decode_layers(self, memory: Memory, queries: Queries) -> list[dict[str, Tensor]]:
        """Every decoder layer's `pred_logits` (B, N, K), `pred_boxes` (B, N, 4) and `states` (B, N, C).

        If not all queries count, the layers also have `valid` (B, N), see `LayerMatcher.match_layers`.
        """
        states, refined = self.transformer.decode(
            memory,
            queries.content,
            queries.boxes,
            queries.t,
            positions=queries.positions,
            attn_mask=queries.attn_mask,
            valid=queries.valid,
        )
        references = torch.cat([queries.boxes[None], refined])
        layers = predict(states, references, self.class_embed, self.bbox_embed)
        return layers if queries.valid is None else [without_invalid(layer, queries.valid) for layer in layers]

    def filters(self, states: Tensor) -> Tensor | None:
        """The masks' filters (B, Q, F), from queries' `states` (B, Q, C); None for a model without masks."""
        return None

    @torch.no_grad()
    def sample(self, memory: Memory, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """See `Detector.sample`."""
        proposals = self.propose_for_inference(memory)
        boxes = None if proposals is None else proposals.boxes
        denoise = self.denoiser(memory, proposals)
        return self.sampler.run(denoise, self.diffusion, self.noise_source(batched_inputs), boxes)

    def denoiser(self, memory: Memory, proposals: Proposals | None) -> Denoise:
        """The network as the sampler sees it. What depends on the images alone is computed once, on the first call."""
        projected_values = cache(lambda: self.transformer.project_values(memory))

        @cache
        def image_content() -> tuple[Tensor, Tensor | None]:
            content, positions = self.transformer.queries(memory, proposals)
            if content.shape[1] != self.num_boxes:  # learned content of another number of queries is taken in turn
                content = content[:, torch.arange(self.num_boxes, device=content.device) % content.shape[1]]
            return content, positions

        @torch.no_grad()
        def denoise(queries: QueryBoxes, t: Tensor | None) -> PassPrediction:
            content, positions = self.transformer.content_of(queries, memory, *image_content())
            states, refined = self.transformer.decode(
                memory,
                content,
                queries.boxes,
                t,
                positions=positions,
                valid=queries.valid,
                projected_values=projected_values(),
            )
            reference = refined[-1] if len(refined) else queries.boxes
            logits = self.class_embed[len(refined)](states[-1])  # inference reads no predictions but the last layer's
            pred_boxes = refine_boxes(self.bbox_embed[len(refined)](states[-1]), reference)
            prediction = self.prediction(logits, pred_boxes, self.filters(states[-1]), queries.valid)
            return prediction if self.transformer.self_conditioning is None else prediction._replace(state=states[-1])

        return denoise

    @torch.no_grad()
    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict[str, Any]]]:
        """Detect, and return what every pass was given and predicted, see `Detector.trajectory`."""
        if self.diffusion is None:
            raise ValueError("a model without diffusion has no denoising trajectory")
        images = self.preprocess(batched_inputs)
        memory = self.encode(images)
        return trajectories(self.sample(memory, batched_inputs), images, batched_inputs)
