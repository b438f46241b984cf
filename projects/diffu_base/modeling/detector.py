"""What detectors share: images and ground truth on their way in, noise, detections and pictures on their way out."""

import zlib
from collections.abc import Sequence

import torch
from detectron2.modeling import detector_postprocess
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh
from layers_diffu_detr.ldm.ddim import DenoisingPass, NoiseSource, Prediction, Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from layers_diffu_detr.postprocess import Detections, merge_passes, top_detections
from layers_diffu_detr.targets import Target


class Detector(nn.Module):
    """A detector that samples boxes; subclasses hold the network.

    Args:
        num_classes: K.
        sampler: how to infer, see `layers_diffu_detr.ldm.ddim.Sampler`.
        diffusion: the forward process; None for a baseline.
        select_box_nums_for_evaluation: detections kept per image.
        pixel_mean, pixel_std: of the backbone's training, in the order of `input_format`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        sampler: Sampler,
        diffusion: GaussianDiffusion | None,
        select_box_nums_for_evaluation: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_format: str,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.sampler = sampler
        self.diffusion = diffusion
        self.select_box_nums_for_evaluation = select_box_nums_for_evaluation
        self.input_format = input_format
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def preprocess(self, batched_inputs: list[dict]) -> list[Tensor]:
        """Normalized images, float32 (3, H_i, W_i) each, on the model's device."""
        images = (inputs["image"].to(self.device, non_blocking=True) for inputs in batched_inputs)
        return [(image - self.pixel_mean) / self.pixel_std for image in images]

    def prepare_targets(self, batched_inputs: list[dict]) -> list[Target]:
        """Ground truth per image: `labels` (n,) int64 and `boxes` (n, 4), normalized cxcywh."""
        targets = []
        for inputs in batched_inputs:
            if "instances" not in inputs:
                raise ValueError(f"training needs `instances` in every input; one has {sorted(inputs)}")
            instances = inputs["instances"]
            for label in instances.gt_classes.unique().tolist():  # before the move: no wait for the device
                if not 0 <= label < self.num_classes:
                    raise ValueError(f"gt_classes has {label}; num_classes is {self.num_classes}")
            targets.append(
                {name: x.to(self.device, non_blocking=True) for name, x in self.target_of(instances).items()}
            )
        return targets

    def target_of(self, instances: Instances) -> Target:
        """One image's ground truth, where `instances` lie."""
        height, width = instances.image_size
        boxes_abs = instances.gt_boxes.tensor
        boxes = box_xyxy_to_cxcywh(boxes_abs / boxes_abs.new_tensor([width, height, width, height]))
        return {"labels": instances.gt_classes, "boxes": boxes}

    def noise_source(self, batched_inputs: list[dict], num_boxes: int) -> NoiseSource:
        """What the sampler draws from for these images: by the sampler's seed and the images' ids, if it has a seed."""
        seeds = None if self.sampler.seed is None else [_image_seed(self.sampler.seed, x) for x in batched_inputs]
        return NoiseSource(self.diffusion, (len(batched_inputs), num_boxes, 4), self.device, seeds)

    def prediction(self, logits: Tensor, boxes: Tensor, filters: Tensor | None = None) -> Prediction:
        """What the sampler gets of a pass: logits (B, Q, K), boxes (B, Q, 4), and filters (B, Q, F) for masks."""
        scores, classes = logits.max(dim=-1)
        # The detections take the logits' place: B · Q · K of them per pass would pile up until the last.
        detections = top_detections(logits, boxes, self.select_box_nums_for_evaluation, filters)
        return Prediction(boxes, scores.float().sigmoid(), {"detections": detections, "classes": classes})

    def postprocess(
        self, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """Pool the passes' `detections`, suppress doubles, scale boxes to the output size."""
        per_pass = [each.prediction.outputs["detections"] for each in passes]
        results = []
        for per_image, image, inputs in zip(zip(*per_pass, strict=True), images, batched_inputs, strict=True):
            detections = merge_passes(list(per_image), self.sampler.nms, self.select_box_nums_for_evaluation)
            instances = _to_instances(detections, image.shape[-2:])
            results.append({"instances": detector_postprocess(instances, *output_size(image, inputs))})
        return results


def output_size(image: Tensor, inputs: dict) -> tuple[int, int]:
    """Height and width of an input's detections: as it says, else those of `image` (3, H, W)."""
    return inputs.get("height", image.shape[-2]), inputs.get("width", image.shape[-1])


def trajectories(passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]) -> list[list[dict]]:
    """How each image's boxes came about, for pictures; `passes` have their `classes` (B, Q) among their outputs.

    Returns:
        Per image, per pass: `t`; `boxes`, what the network saw, and `pred_boxes`, (Q, 4) absolute xyxy of the output
        size; `scores` and `classes` (Q,), each query's best.
    """
    result = []
    for i, (image, inputs) in enumerate(zip(images, batched_inputs, strict=True)):
        height, width = output_size(image, inputs)
        size = torch.tensor([width, height, width, height], device=image.device)
        result.append([])
        for each in passes:
            scores, classes = each.prediction.confidence[i], each.prediction.outputs["classes"][i]
            boxes, pred_boxes = (box_cxcywh_to_xyxy(x[i]) * size for x in (each.boxes, each.prediction.boxes))
            result[-1].append(
                {"t": each.t, "boxes": boxes, "pred_boxes": pred_boxes, "scores": scores, "classes": classes}
            )
    return result


def as_outputs(layers: list[dict[str, Tensor]]) -> dict:
    """Predictions by layer in detrex's form: the last layer's, the others' in `aux_outputs`."""
    return {**layers[-1], "aux_outputs": layers[:-1]}


def _image_seed(seed: int, inputs: dict) -> int:
    """A seed of the image's own, from the sampler's seed and the image's id (its file name where it has none)."""
    image_id = inputs.get("image_id", inputs.get("file_name", ""))
    return zlib.crc32(f"{seed}:{image_id}".encode())


def _to_instances(detections: Detections, image_size: tuple[int, int]) -> Instances:
    """Detections as Instances of a (height, width) image, boxes absolute xyxy, and `filters` if they have them."""
    height, width = image_size
    boxes = Boxes(detections.boxes_xyxy.float())
    boxes.scale(scale_x=width, scale_y=height)
    instances = Instances(
        (int(height), int(width)), pred_boxes=boxes, scores=detections.scores.float(), pred_classes=detections.classes
    )
    if detections.filters is not None:
        instances.filters = detections.filters
    return instances
