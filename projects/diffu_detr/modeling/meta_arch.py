"""The meta-architecture of the DETR family: images -> features -> memory -> proposals -> queries -> decoder -> boxes.

Diffusion on or off, the stages are the same: a baseline's queries start from the proposals' boxes and pass the decoder
once; a diffusion model's start from noise (in training: from diffused ground truth) and pass it once per DDIM step.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.modeling import detector_postprocess
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head, predict, refine_boxes
from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh
from layers_diffu_detr.denoising import DiffusedQueries
from layers_diffu_detr.ldm.ddim import DenoisingPass, NoiseSource, Prediction, Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from layers_diffu_detr.postprocess import Detections, merge_passes, top_detections
from projects.diffu_detr.modeling.batching import groups_by_size, pad_and_cat, valid_sizes_of
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


class DiffuDETR(nn.Module):
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
        super().__init__()
        if (diffusion is None) != (diffused_queries is None):
            raise ValueError(
                "model.diffusion and model.diffused_queries go together: set both, or neither for a baseline"
            )
        if (diffusion is None) != (transformer.time_embed is None):
            raise ValueError("model.diffusion and model.transformer.time_embed go together: set both or neither")
        if (diffusion is not None) != sampler.needs_diffusion:
            raise ValueError(
                "model.diffusion and model.sampler go together: a baseline takes a sampler that needs no diffusion, a "
                f"diffusion model one that does; model.sampler is {type(sampler).__name__}"
            )
        self.backbone = backbone
        self.position_embedding = position_embedding
        self.neck = neck
        self.transformer = transformer
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.criterion = criterion
        self.sampler = sampler
        self.diffusion = diffusion
        self.diffused_queries = diffused_queries
        self.select_box_nums_for_evaluation = select_box_nums_for_evaluation
        self.input_format = input_format
        num_heads = transformer.decoder.num_layers + 1  # one per decoder layer, the last for the proposals
        self.class_embed = nn.ModuleList(build_class_head(embed_dim, num_classes) for _ in range(num_heads))
        self.bbox_embed = nn.ModuleList(build_box_head(embed_dim) for _ in range(num_heads))
        transformer.decoder.class_embed = self.class_embed
        transformer.decoder.bbox_embed = self.bbox_embed
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

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
        proposals = self.transformer.propose(memory, self.num_queries)
        if self.training:
            targets = self.prepare_targets(batched_inputs)
            queries = self.prepare_queries(proposals, targets)
            outputs = self.decode(memory, queries)
            outputs["enc_outputs"] = self.transformer.supervised(proposals)
            return self.criterion.weighted(self.criterion(outputs, targets, queries.dn_metas))
        passes = self.sample(memory, proposals, batched_inputs)
        return self.postprocess(self.sampler.ensemble(passes), images, batched_inputs)

    def preprocess(self, batched_inputs: list[dict]) -> list[Tensor]:
        """Normalized images, float32 (3, H_i, W_i) each, on the model's device."""
        images = (inputs["image"].to(self.device, non_blocking=True) for inputs in batched_inputs)
        return [(image - self.pixel_mean) / self.pixel_std for image in images]

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

    def prepare_targets(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        """Ground truth per image: `labels` (n,) int64 and `boxes` (n, 4), normalized cxcywh."""
        targets = []
        for inputs in batched_inputs:
            if "instances" not in inputs:
                raise ValueError(f"training needs `instances` in every input; one has {sorted(inputs)}")
            for label in inputs["instances"].gt_classes.unique().tolist():  # before the move: no wait for the device
                if not 0 <= label < self.num_classes:
                    raise ValueError(f"gt_classes has {label}; num_classes is {self.num_classes}")
            instances = inputs["instances"]
            height, width = instances.image_size
            boxes_abs = instances.gt_boxes.tensor
            boxes = box_xyxy_to_cxcywh(boxes_abs / boxes_abs.new_tensor([width, height, width, height]))
            target = {"labels": instances.gt_classes, "boxes": boxes}
            targets.append({name: value.to(self.device, non_blocking=True) for name, value in target.items()})
        return targets

    def prepare_queries(self, proposals: Proposals, targets: list[dict[str, Tensor]]) -> Queries:
        """Training queries: from the proposals' boxes, or with diffusion from diffused ground truth."""
        content, positions = self.transformer.queries(proposals)
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

    @torch.no_grad()
    def sample(self, memory: Memory, proposals: Proposals, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """Run the sampler; what depends on the images alone is computed once, before its first pass."""
        content, positions = self.transformer.queries(proposals)
        projected_values = self.transformer.project_values(memory)

        def denoise(boxes: Tensor | None, t: Tensor | None) -> Prediction:
            boxes = proposals.boxes if boxes is None else boxes
            states, refined = self.transformer.decode(
                memory, content, boxes, t, positions=positions, projected_values=projected_values
            )
            reference = refined[-1] if len(refined) else boxes
            logits = self.class_embed[len(refined)](states[-1])  # the last layer's heads alone: no other is read
            pred_boxes = refine_boxes(self.bbox_embed[len(refined)](states[-1]), reference)
            scores, classes = logits.max(dim=-1)
            # The detections take the logits' place: B · Q · K of them per pass would pile up until the last.
            detections = top_detections(logits, pred_boxes, self.select_box_nums_for_evaluation)
            outputs = {"detections": detections, "classes": classes}
            return Prediction(pred_boxes, scores.float().sigmoid(), outputs)

        noise = None
        if self.diffusion is not None:
            seeds = None if self.sampler.seed is None else [_image_seed(self.sampler.seed, x) for x in batched_inputs]
            noise = NoiseSource(self.diffusion, (len(batched_inputs), self.num_queries, 4), self.device, seeds)
        return self.sampler.run(denoise, self.diffusion, noise)

    def postprocess(
        self, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """Pool the passes' detections, suppress doubles, scale boxes to the output size."""
        per_pass = [each.prediction.outputs["detections"] for each in passes]
        results = []
        for per_image, image, inputs in zip(zip(*per_pass, strict=True), images, batched_inputs, strict=True):
            detections = merge_passes(list(per_image), self.sampler.nms, self.select_box_nums_for_evaluation)
            instances = _to_instances(detections, image.shape[-2:])
            height, width = inputs.get("height", image.shape[-2]), inputs.get("width", image.shape[-1])
            results.append({"instances": detector_postprocess(instances, height, width)})
        return results

    @torch.no_grad()
    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict]]:
        """How each image's boxes came about, for pictures.

        Returns:
            Per image, per pass: `t`; `boxes`, what the decoder saw, and `pred_boxes`, (Q, 4) absolute xyxy of the
            output size; `scores` and `classes` (Q,), each query's best.
        """
        if self.diffusion is None:
            raise ValueError("a model without diffusion has no denoising trajectory")
        images = self.preprocess(batched_inputs)
        memory = self.encode(images)
        passes = self.sample(memory, self.transformer.propose(memory, self.num_queries), batched_inputs)
        trajectories = []
        for i, (image, inputs) in enumerate(zip(images, batched_inputs, strict=True)):
            height, width = inputs.get("height", image.shape[-2]), inputs.get("width", image.shape[-1])
            size = torch.tensor([width, height, width, height], device=self.device)
            trajectories.append([])
            for each in passes:
                scores, classes = each.prediction.confidence[i], each.prediction.outputs["classes"][i]
                boxes, pred_boxes = (box_cxcywh_to_xyxy(x[i]) * size for x in (each.boxes, each.prediction.boxes))
                trajectories[-1].append(
                    {"t": each.t, "boxes": boxes, "pred_boxes": pred_boxes, "scores": scores, "classes": classes}
                )
        return trajectories


def as_outputs(layers: list[dict[str, Tensor]]) -> dict:
    """Predictions by layer in detrex's form: the last layer's, the others' in `aux_outputs`."""
    return {**layers[-1], "aux_outputs": layers[:-1]}


def _image_seed(seed: int, inputs: dict) -> int:
    """A seed of the image's own, from the sampler's seed and the image's id (its file name where it has none)."""
    image_id = inputs.get("image_id", inputs.get("file_name", ""))
    return zlib.crc32(f"{seed}:{image_id}".encode())


def _to_instances(detections: Detections, image_size: tuple[int, int]) -> Instances:
    """Detections as Instances of a (height, width) image, boxes absolute xyxy."""
    height, width = image_size
    boxes = Boxes(detections.boxes_xyxy.float())
    boxes.scale(scale_x=width, scale_y=height)
    return Instances(
        (int(height), int(width)), pred_boxes=boxes, scores=detections.scores.float(), pred_classes=detections.classes
    )
