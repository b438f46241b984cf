"""The base of all models: it prepares images, targets and noise for the network and turns passes into detections."""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import detector_postprocess
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh
from layers_diffu_detr.checkpoint_names import CheckpointNames
from layers_diffu_detr.ldm.ddim import Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.passes import DenoisingPass, PassPrediction
from layers_diffu_detr.postprocess import Detections, merge_passes, top_detections
from layers_diffu_detr.targets import Target

from .criterion import LayerCriterion
from .image_checks import check_images

INPUT_FORMATS = ("RGB", "BGR")


class Detector(nn.Module):
    """A detector whose boxes a sampler denoises. Its attributes and methods are what tools, engine and checkpoints use.

    Subclasses hold the network. They implement `forward`, `encode`, `detect` and `trajectory`, and set `backbone` and
    `criterion`.

    Args:
        num_classes: K.
        num_boxes: Q, the number of boxes that the model denoises; a baseline's are its proposals. Configs call it
            `num_queries` or `num_proposals`.
        sampler: how the model infers, see `layers_diffu_detr.ldm.ddim.Sampler`.
        diffusion: the forward process; None for a baseline.
        select_box_nums_for_evaluation: the most detections that an image gets.
        pixel_mean, pixel_std: statistics of the images that the backbone was pre-trained on, per channel.
        input_format: the order of the channels in `pixel_mean` and `pixel_std`, "RGB" or "BGR". A tensor does not show
            the order of its channels, so the caller must give images in this order.

    Attributes:
        backbone: the network that comes with a pre-training. The optimizer gives it a learning rate of its own and
            checkpoints may hold it alone; both know it by this name.
        criterion: the losses, and their weights by name.

    Raises:
        ValueError: input_format is neither "RGB" nor "BGR".
    """

    backbone: nn.Module
    criterion: LayerCriterion
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        num_boxes: int,
        sampler: Sampler,
        diffusion: GaussianDiffusion | None,
        select_box_nums_for_evaluation: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_format: str,
    ) -> None:
        super().__init__()
        if input_format not in INPUT_FORMATS:
            raise ValueError(f"model.input_format is {input_format!r}; allowed are {' and '.join(INPUT_FORMATS)}")
        self.num_classes = num_classes
        self.num_boxes = num_boxes
        self.sampler = sampler
        self.diffusion = diffusion
        self.select_box_nums_for_evaluation = select_box_nums_for_evaluation
        self.input_format = input_format
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Detect, or in training compute losses.

        Args:
            batched_inputs: detectron2's dicts: `image` (3, H, W) in the order of channels `input_format`; in training
                `instances` with `gt_boxes` (absolute xyxy), `gt_classes` and, for a model with masks, `gt_masks`;
                `height` and `width` of the output; `image_id`, from which the sampler seeds the image's noise.

        Returns:
            In training the weighted losses by name. In inference [{"instances": Instances}] with `pred_boxes` (absolute
            xyxy in the output's size), `scores`, `pred_classes` and, of a model with masks, `pred_masks`; best first.
        """
        raise NotImplementedError

    def encode(self, images: list[Tensor]) -> Any:
        """Compute what the network needs to know of `images`, as `preprocess` returns them, whatever is sampled.

        `detect` takes the result. Several samplings of the same images can share it. In inference the images must have
        one size.
        """
        raise NotImplementedError

    def sample(self, encoded: Any, batched_inputs: list[dict]) -> list[DenoisingPass]:
        """Run the sampler on what `encode` returned; returns every pass, first to last."""
        raise NotImplementedError

    def detect(self, encoded: Any, images: list[Tensor], batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Sample, then pool the passes' detections; see `results` for arguments and result."""
        return self.results(encoded, self.sample(encoded, batched_inputs), images, batched_inputs)

    def results(
        self, encoded: Any, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """What is detected by `passes`: all that `sample` returned, or some of them.

        Args:
            encoded: what `encode` returned for `images`.
            passes: see `sample`.
            images: (3, H_i, W_i) each, as `preprocess` returned them.
            batched_inputs: see `forward`.

        Returns:
            See `forward`.
        """
        return self.postprocess(passes, images, batched_inputs)

    def trajectory(self, batched_inputs: list[dict]) -> list[list[dict[str, Any]]]:
        """Detect, and return what every pass was given and predicted, see `trajectories`.

        Raises:
            ValueError: the model has no diffusion.
        """
        raise NotImplementedError

    def checkpoint_names(self) -> CheckpointNames:
        """How checkpoints of this model may differ from it in their names; here they do not."""
        return CheckpointNames()

    @property
    def size_divisor(self) -> int:
        """Images are padded to multiples of so many pixels; 1: they are not."""
        return 1

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def preprocess(self, batched_inputs: list[dict]) -> list[Tensor]:
        """Normalized images, float32 (3, H_i, W_i) each, on the model's device.

        Raises:
            ValueError: see `check_images`.
        """
        check_images(batched_inputs, self.pixel_mean, training=self.training)
        images = (inputs["image"].to(self.device, non_blocking=True) for inputs in batched_inputs)
        return [(image - self.pixel_mean) / self.pixel_std for image in images]

    def prepare_targets(self, batched_inputs: list[dict]) -> list[Target]:
        """Each image's targets on the model's device, see `target_of`.

        Raises:
            ValueError: an input has no `instances`, or a class that is not among the model's.
        """
        targets = []
        for inputs in batched_inputs:
            if "instances" not in inputs:
                raise ValueError(f"training needs `instances` in every input; one has {sorted(inputs)}")
            instances = inputs["instances"]
            for label in instances.gt_classes.unique().tolist():  # on the CPU, so this waits for no GPU
                if not 0 <= label < self.num_classes:
                    raise ValueError(f"gt_classes has {label}; num_classes is {self.num_classes}")
            targets.append(
                {name: x.to(self.device, non_blocking=True) for name, x in self.target_of(instances).items()}
            )
        return targets

    def target_of(self, instances: Instances) -> Target:
        """An image's targets: `labels` (n,) int64, `boxes` (n, 4) normalized cxcywh, on the device of `instances`."""
        height, width = instances.image_size
        boxes_abs = instances.gt_boxes.tensor
        boxes = box_xyxy_to_cxcywh(boxes_abs / boxes_abs.new_tensor([width, height, width, height]))
        return {"labels": instances.gt_classes, "boxes": boxes}

    def noise_source(self, batched_inputs: list[dict]) -> NoiseSource | None:
        """What the sampler draws noise from for these images; None for a baseline.

        If the sampler has a seed, an image's noise depends on that seed and the image's id alone.
        """
        if self.diffusion is None:
            return None
        seeds = None
        if self.sampler.seed is not None:
            seeds = [_image_seed(self.sampler.seed, inputs) for inputs in batched_inputs]
        return NoiseSource(self.diffusion, (len(batched_inputs), self.num_boxes, 4), self.device, seeds)

    def prediction(
        self, logits: Tensor, boxes: Tensor, filters: Tensor | None = None, valid: Tensor | None = None
    ) -> PassPrediction:
        """What a pass returns to the sampler.

        Args:
            logits: (B, Q, K).
            boxes: (B, Q, 4) normalized cxcywh.
            filters: (B, Q, F), from which masks are made; None for a model without masks.
            valid: (B, Q) bool, False for queries that do not count; None: all count.
        """
        if valid is not None:
            logits = logits.masked_fill(~valid[..., None], float("-inf"))
        scores, classes = logits.max(dim=-1)
        # A pass keeps its best detections in place of its logits, which are B · Q · K numbers per pass.
        detections = top_detections(logits, boxes, self.select_box_nums_for_evaluation, filters)
        if valid is not None:
            detections = [each[valid[i][each.queries]] for i, each in enumerate(detections)]
        return PassPrediction(boxes, scores.float().sigmoid(), {"detections": detections, "classes": classes})

    def postprocess(
        self, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """Pool the detections of the passes that count, merge duplicates, and scale boxes to the output's size."""
        results = []
        for i, (image, inputs) in enumerate(zip(images, batched_inputs, strict=True)):
            counted = self.sampler.ensemble([each for each in passes if each.active is None or each.active[i]])
            found = [each.prediction.outputs["detections"][i] for each in counted]
            detections = merge_passes(found, self.sampler.merge, self.select_box_nums_for_evaluation)
            instances = _to_instances(detections, image.shape[-2], image.shape[-1])
            results.append({"instances": detector_postprocess(instances, *output_size(image, inputs))})
        return results


def output_size(image: Tensor, inputs: dict) -> tuple[int, int]:
    """Height and width that the input asks for, into which detections are scaled; by default those of `image`."""
    return inputs.get("height", image.shape[-2]), inputs.get("width", image.shape[-1])


def trajectories(
    passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
) -> list[list[dict[str, Any]]]:
    """What each pass was given and predicted, image by image, for pictures.

    Args:
        passes: their predictions are made by `Detector.prediction`.
        images: (3, H_i, W_i) each.
        batched_inputs: detectron2's dicts.

    Returns:
        Per image and pass: `t`; `boxes`, which the network was given, and `pred_boxes`, which it predicted, (Q, 4)
        absolute xyxy in the output's size; `scores` and `classes` (Q,), each query's best.
    """
    result = []
    for i, (image, inputs) in enumerate(zip(images, batched_inputs, strict=True)):
        height, width = output_size(image, inputs)
        size = torch.tensor([width, height, width, height], device=image.device)
        of_image = []
        for each in passes:
            valid = each.queries.valid
            rows = slice(None) if valid is None else valid[i]
            boxes, pred_boxes = (
                box_cxcywh_to_xyxy(x[i][rows]) * size for x in (each.queries.boxes, each.prediction.boxes)
            )
            scores, classes = each.prediction.confidence[i][rows], each.prediction.outputs["classes"][i][rows]
            of_image.append(
                {"t": each.t, "boxes": boxes, "pred_boxes": pred_boxes, "scores": scores, "classes": classes}
            )
        result.append(of_image)
    return result


def as_outputs(layers: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Predictions by layer in detrex's form: the last layer's, and those of the others in `aux_outputs`."""
    return {**layers[-1], "aux_outputs": layers[:-1]}


def _image_seed(seed: int, inputs: dict) -> int:
    """The seed of an image's noise, from the sampler's seed and the image's id, or its file name if it has no id."""
    image_id = inputs.get("image_id", inputs.get("file_name", ""))
    return zlib.crc32(f"{seed}:{image_id}".encode())


def _to_instances(detections: Detections, height: int, width: int) -> Instances:
    """An image's detections as `Instances` with absolute xyxy boxes, and with `filters` if the detections have them."""
    boxes = Boxes(detections.boxes_xyxy.float())
    boxes.scale(scale_x=width, scale_y=height)
    instances = Instances(
        (height, width), pred_boxes=boxes, scores=detections.scores.float(), pred_classes=detections.classes
    )
    if detections.filters is not None:
        instances.filters = detections.filters
    return instances
