"""DiffusionDet: boxes start as noise, and heads that look into the boxes refine them (Chen et al. 2023)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from detectron2.modeling import Backbone
from detectron2.structures import Instances
from torch import Tensor

from layers_diffu_detr.ldm.ddim import Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from layers_diffu_detr.ldm.passes import DenoisingPass, PassPrediction, QueryBoxes
from layers_diffu_detr.training_batch import TrainingBatch, TrainingStart
from projects.diffu_base.modeling.batching import groups_by_size, stack_padded
from projects.diffu_base.modeling.criterion import LayerCriterion
from projects.diffu_base.modeling.detector import Detector, as_outputs, trajectories

from .head import HeadSeries, RoIHead

Result = TypeVar("Result")


@dataclass
class Scene:
    """What the heads look into.

    Attributes:
        maps: name -> (B, C, H_l, W_l), the feature pyramid of a batch of images.
        sizes: (B, 4), each image's width, height, width, height.
    """

    maps: dict[str, Tensor]
    sizes: Tensor


class DiffusionDet(Detector):
    """Detector that denoises boxes. An image passes the backbone once and the heads once per step.

    Args:
        backbone: images (B, 3, H, W) -> feature pyramid {name: (B, C, H_l, W_l)}. Its `size_divisibility` must divide
            height and width.
        roi_head: the first head; the others are copies of it.
        embed_dim: C.
        num_proposals: Q.
        num_heads: number of heads.
        in_features: the maps that heads look into, finest first.
        criterion: (outputs, targets) -> unweighted losses, see `DynamicKCriterion`.
        sampler: how the model infers; it must start from noise, see `DDIMSampler`.
        diffused_queries: makes training boxes from targets.
        num_classes, diffusion, select_box_nums_for_evaluation, pixel_mean, pixel_std, input_format: see `Detector`.

    Raises:
        ValueError: num_proposals is below 1, the sampler starts from proposals, or the backbone lacks a map.
    """

    diffusion: GaussianDiffusion
    backbone: Backbone

    def __init__(
        self,
        backbone: Backbone,
        roi_head: RoIHead,
        *,
        embed_dim: int,
        num_classes: int,
        num_proposals: int,
        num_heads: int,
        in_features: Sequence[str],
        criterion: LayerCriterion,
        sampler: Sampler,
        diffusion: GaussianDiffusion,
        diffused_queries: TrainingStart,
        select_box_nums_for_evaluation: int,
        pixel_mean: Sequence[float] = (123.675, 116.280, 103.530),
        pixel_std: Sequence[float] = (58.395, 57.120, 57.375),
        input_format: str = "RGB",
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            num_boxes=num_proposals,
            sampler=sampler,
            diffusion=diffusion,
            select_box_nums_for_evaluation=select_box_nums_for_evaluation,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            input_format=input_format,
        )
        if num_proposals < 1:
            raise ValueError(f"model.num_proposals is {num_proposals}; it must be at least 1")
        if not sampler.needs_diffusion:
            raise ValueError(
                f"model.sampler is {type(sampler).__name__}; DiffusionDet takes a sampler that starts from noise"
            )
        if sampler.start.needs_proposals:
            raise ValueError(
                f"model.sampler.start is {type(sampler.start).__name__}; DiffusionDet makes no proposals to start from"
            )
        self.backbone = backbone
        self.in_features = list(in_features)
        strides = self.strides_of("in_features", in_features)
        self.head = HeadSeries(roi_head, num_heads, embed_dim=embed_dim, strides=strides)
        self.criterion = criterion
        self.diffused_queries = diffused_queries

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Detect, or in training compute losses, see `Detector.forward`."""
        images = self.preprocess(batched_inputs)
        if not self.training:
            return self.by_size(images, batched_inputs, self.detect_in)
        scene = self.encode(images)
        targets = self.prepare_targets(batched_inputs)
        queries, t = self.diffused_queries(TrainingBatch(targets, self.num_boxes, self.diffusion))
        outputs = self.predict(scene, queries.boxes, t)
        return self.criterion.weighted(self.criterion(outputs, targets))

    @property
    def size_divisor(self) -> int:
        """See `Detector.size_divisor`; it is that of the backbone."""
        return self.backbone.size_divisibility or 1

    def strides_of(self, setting: str, names: Sequence[str]) -> list[int]:
        """For each map that `model.<setting>` names, how many pixels of the image a cell has.

        Raises:
            ValueError: the backbone lacks a map.
        """
        shapes = self.backbone.output_shape()
        if missing := [name for name in names if name not in shapes]:
            raise ValueError(f"model.{setting} has {', '.join(missing)}; the backbone has {', '.join(shapes)}")
        return [shapes[name].stride for name in names]

    def encode(self, images: list[Tensor]) -> Scene:
        """Pad images to one batch and compute the feature pyramid. In inference, all images must have one size."""
        batch = stack_padded(images, self.size_divisor)
        sizes = [[width, height, width, height] for height, width in (image.shape[-2:] for image in images)]
        return Scene(self.backbone(batch), torch.tensor(sizes, dtype=torch.float32).to(self.device, non_blocking=True))

    def predict_heads(
        self, scene: Scene, boxes: Tensor, t: Tensor, valid: Tensor | None = None
    ) -> list[dict[str, Tensor]]:
        """Every head's predictions from boxes (B, Q, 4) at timesteps t (B,), see `HeadSeries.forward`."""
        return self.head([scene.maps[name] for name in self.in_features], scene.sizes, boxes, t, valid=valid)

    def predict(self, scene: Scene, boxes: Tensor, t: Tensor) -> dict[str, Any]:
        """What the criterion gets: the last head's predictions, and in `aux_outputs` those of the others."""
        return as_outputs(self.predict_heads(scene, boxes, t))

    @torch.no_grad()
    def by_size(
        self,
        images: list[Tensor],
        batched_inputs: list[dict],
        detect: Callable[[list[Tensor], list[dict]], list[Result]],
    ) -> list[Result]:
        """Apply `detect` to images of one size at a time, and return its results in the order of the images.

        If images of different sizes were padded to one batch, a region at an image's border would see the padding, and
        detections would depend on the other images of the batch.
        """
        results: dict[int, Result] = {}
        for group in groups_by_size(images):
            found = detect([images[i] for i in group], [batched_inputs[i] for i in group])
            results.update(zip(group, found, strict=True))
        return [results[i] for i in range(len(images))]

    def detect_in(self, images: list[Tensor], batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Encode images of one size and detect in them."""
        return self.detect(self.encode(images), images, batched_inputs)

    @torch.no_grad()
    def sample(self, scene: Scene, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """See `Detector.sample`; the images have one size."""

        def denoise(queries: QueryBoxes, t: Tensor | None) -> PassPrediction:
            assert t is not None  # __init__ refuses samplers without diffusion
            last = self.predict_heads(scene, queries.boxes, t, queries.valid)[-1]
            return self.prediction(last["pred_logits"], last["pred_boxes"], last.get("filters"), queries.valid)

        return self.sampler.run(denoise, self.diffusion, self.noise_source(batched_inputs))

    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict[str, Any]]]:
        """Detect, and return what every pass was given and predicted, see `Detector.trajectory`."""

        def trace(images: list[Tensor], inputs: list[dict]) -> list[list[dict[str, Any]]]:
            return trajectories(self.sample(self.encode(images), inputs), images, inputs)

        return self.by_size(self.preprocess(batched_inputs), batched_inputs, trace)
