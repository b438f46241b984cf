"""Test-time augmentation: a detector sees an image in several sizes and mirrored, and its detections are merged."""

from collections.abc import Callable

import torch
from detectron2.data.transforms import HFlipTransform
from detectron2.structures import Boxes, Instances
from torch import nn

from layers_diffu_detr.postprocess import ClassWiseNMS, Detections


class AugmentedDetector(nn.Module):
    """Wraps a detector with test-time augmentation.

    A detection's mask is the one that was predicted with it, in its own variant of the image. (detectron2's
    augmentation predicts the masks of all merged boxes in every variant, for which a model needs heads that take
    boxes.)

    Args:
        model: detectron2's inputs -> [{"instances": Instances}] in the size that the inputs' `height` and `width` say.
        variants: an input -> resized or mirrored inputs with the field `transforms`, as detectron2's `DatasetMapperTTA`
            makes them.
        nms: merges the detections of all variants.
        max_detections: the most detections that an image gets.
    """

    def __init__(
        self, model: nn.Module, *, variants: Callable[[dict], list[dict]], nms: ClassWiseNMS, max_detections: int
    ) -> None:
        super().__init__()
        self.model = model
        self.variants = variants
        self.nms = nms
        self.max_detections = max_detections
        self.training = model.training  # an evaluation restores this mode, also in `model`

    def forward(self, batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Detect, with the inputs and results that the model itself has in inference."""
        return [{"instances": self.detect(inputs)} for inputs in batched_inputs]

    def detect(self, inputs: dict) -> Instances:
        """The merged detections of one image, best first."""
        found = []
        for variant in self.variants(inputs):
            is_mirrored = any(isinstance(each, HFlipTransform) for each in variant.pop("transforms").transforms)
            (result,) = self.model([variant])
            found.append(mirrored(result["instances"]) if is_mirrored else result["instances"])
        together = Instances.cat(found)
        places = torch.arange(len(together), device=together.scores.device)
        detections = Detections(together.pred_boxes.tensor, together.scores, together.pred_classes, places)
        return together[self.nms(detections, num_passes=len(found)).best(self.max_detections).queries]


def mirrored(instances: Instances) -> Instances:
    """A copy of the detections, with boxes and masks reflected left to right."""
    x1, y1, x2, y2 = instances.pred_boxes.tensor.unbind(-1)
    width = instances.image_size[1]
    result = Instances(instances.image_size, **instances.get_fields())
    result.pred_boxes = Boxes(torch.stack([width - x2, y1, width - x1, y2], dim=-1))
    if result.has("pred_masks"):
        result.pred_masks = result.pred_masks.flip(-1)
    return result
