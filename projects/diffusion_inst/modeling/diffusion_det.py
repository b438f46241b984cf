"""DiffusionDet: boxes of noise, refined by heads that look into them (Chen et al. 2023)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from detectron2.modeling import Backbone
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from layers_diffu_detr.denoising import DiffusedQueries
from layers_diffu_detr.ldm.ddim import DenoisingPass, Prediction, Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from projects.diffu_base.modeling.batching import groups_by_size
from projects.diffu_base.modeling.detector import Detector, as_outputs, trajectories

from .head import HeadSeries, RoIHead


@dataclass
class Scene:
    """What is seen of a batch: the pyramid's maps (B, C, H_l, W_l) by name, the images' sizes (B, 4) as w, h, w, h."""

    maps: dict[str, Tensor]
    sizes: Tensor


class DiffusionDet(Detector):
    """Detector that denoises boxes: features once per image, the heads once per step.

    Args:
        backbone: images (B, 3, H, W) -> feature pyramid {name: (B, C, H_l, W_l)}, for sides that its
            `size_divisibility` divides.
        roi_head: the first head; the others are made like it.
        embed_dim, num_classes, num_proposals, num_heads: C, K, Q and the number of heads.
        in_features: the maps that heads look into, finest first.
        criterion: (outputs, targets) -> unweighted losses; has `weighted`.
        sampler: how to infer, see `DDIMSampler`.
        diffusion: the forward process.
        diffused_queries: how ground truth becomes training boxes.
        select_box_nums_for_evaluation: detections kept per image.
        pixel_mean, pixel_std: of the backbone's training, in the order of `input_format`.
    """

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
        criterion: nn.Module,
        sampler: Sampler,
        diffusion: GaussianDiffusion,
        diffused_queries: DiffusedQueries,
        select_box_nums_for_evaluation: int,
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
        if num_proposals < 1:
            raise ValueError(f"model.num_proposals is {num_proposals}; it must be at least 1")
        self.backbone = backbone
        self.num_proposals = num_proposals
        self.in_features = list(in_features)
        strides = self.strides_of("in_features", in_features)
        self.head = HeadSeries(roi_head, num_heads, embed_dim=embed_dim, strides=strides)
        self.criterion = criterion
        self.diffused_queries = diffused_queries

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Detect, or in training compute losses.

        Args:
            batched_inputs: detectron2's dicts: `image` (3, H, W); in training `instances` with `gt_boxes` (absolute
                xyxy), `gt_classes` and, for masks, `gt_masks`; `height` and `width` of the output; `image_id`, which
                seeds the sampler's noise.

        Returns:
            In training the weighted losses by name, else [{"instances": Instances}] with `pred_boxes` (absolute xyxy of
            the output size), `scores`, `pred_classes` and, for masks, `pred_masks`; best first.
        """
        images = self.preprocess(batched_inputs)
        if not self.training:
            return self.by_size(images, batched_inputs, self.detect)
        scene = self.encode(images)
        targets = self.prepare_targets(batched_inputs)
        boxes, t = self.diffused_queries(targets, self.num_proposals, self.diffusion)
        outputs = self.predict(scene, boxes, t)
        return self.criterion.weighted(self.criterion(outputs, targets))

    def strides_of(self, setting: str, names: Sequence[str]) -> list[int]:
        """Pixels of the image per cell of the maps that `model.<setting>` names.

        Raises:
            ValueError: the backbone has no such map.
        """
        shapes = self.backbone.output_shape()
        if missing := [name for name in names if name not in shapes]:
            raise ValueError(f"model.{setting} has {', '.join(missing)}; the backbone has {', '.join(shapes)}")
        return [shapes[name].stride for name in names]

    def encode(self, images: list[Tensor]) -> Scene:
        """Images, padded to one batch, to the feature pyramid."""
        batch = ImageList.from_tensors(images, self.backbone.size_divisibility).tensor
        sizes = [[width, height, width, height] for height, width in (image.shape[-2:] for image in images)]
        return Scene(self.backbone(batch), torch.tensor(sizes, dtype=torch.float32).to(self.device, non_blocking=True))

    def predict_heads(self, scene: Scene, boxes: Tensor, t: Tensor) -> list[dict[str, Tensor]]:
        """Every head's predictions from boxes (B, Q, 4) at times (B,), see `HeadSeries`."""
        return self.head([scene.maps[name] for name in self.in_features], scene.sizes, boxes, t)

    def predict(self, scene: Scene, boxes: Tensor, t: Tensor) -> dict:
        """What the criterion sees: the last head's predictions, the others' in `aux_outputs`."""
        return as_outputs(self.predict_heads(scene, boxes, t))

    @torch.no_grad()
    def by_size(self, images: list[Tensor], batched_inputs: list[dict], detect: Callable) -> list:
        """Results of `detect` in the order of the images, which share a batch if they are of equal size.

        In padded company a region at the border would see padding, and an image's detections would not be its own.
        """
        results = [None] * len(images)
        for group in groups_by_size(images):
            found = detect([images[i] for i in group], [batched_inputs[i] for i in group])
            for i, result in zip(group, found, strict=True):
                results[i] = result
        return results

    def detect(self, images: list[Tensor], batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Detections in images of one size."""
        passes = self.sample(self.encode(images), batched_inputs)
        return self.postprocess(self.sampler.ensemble(passes), images, batched_inputs)

    @torch.no_grad()
    def sample(self, scene: Scene, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """Run the sampler on what is seen of the images."""

        def denoise(boxes: Tensor, t: Tensor) -> Prediction:
            last = self.predict_heads(scene, boxes, t)[-1]
            return self.prediction(last["pred_logits"], last["pred_boxes"], last.get("filters"))

        return self.sampler.run(denoise, self.diffusion, self.noise_source(batched_inputs, self.num_proposals))

    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict]]:
        """How each image's boxes came about, see `trajectories`."""

        def trace(images: list[Tensor], inputs: list[dict]) -> list[list[dict]]:
            return trajectories(self.sample(self.encode(images), inputs), images, inputs)

        return self.by_size(self.preprocess(batched_inputs), batched_inputs, trace)
