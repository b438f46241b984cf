"""Masks of detectron2's `Instances`: the true ones for training, and those of detections."""

from collections.abc import Iterable

from detectron2.structures import BitMasks, Instances, PolygonMasks
from torch import Tensor

from layers_diffu_detr.mask_head import DynamicMaskHead, sample_masks
from projects.diffu_base.modeling.detector import output_size


def ground_truth_masks(instances: Instances, stride: int) -> Tensor:
    """The true masks, read at the centres of a mask feature's cells.

    Args:
        instances: has `gt_masks`, as bit masks, polygons or a tensor.
        stride: pixels per cell of the mask feature.

    Returns:
        (n, h, w) bool.

    Raises:
        ValueError: there are no `gt_masks`.
    """
    if not instances.has("gt_masks"):
        raise ValueError("training a model with masks needs `gt_masks` in `instances`; set mask_on in the mapper")
    masks: BitMasks | PolygonMasks | Tensor = instances.gt_masks
    if isinstance(masks, PolygonMasks):
        masks = BitMasks.from_polygon_masks(masks, *instances.image_size)
    return sample_masks(masks.tensor if isinstance(masks, BitMasks) else masks, stride)


def add_masks(
    results: list[dict[str, Instances]],
    mask_features: Iterable[Tensor],
    images: list[Tensor],
    batched_inputs: list[dict],
    mask_head: DynamicMaskHead,
    stride: int,
) -> None:
    """Replace the field `filters` of each image's detections by `pred_masks`.

    Args:
        results: per image the `instances`, which this function changes.
        mask_features: per image (C, H, W).
        images: (3, H_i, W_i) each, before padding.
        batched_inputs: detectron2's dicts, which say in which size masks are wanted.
        mask_head: makes the masks.
        stride: pixels per cell of the mask features.
    """
    for result, feature, image, inputs in zip(results, mask_features, images, batched_inputs, strict=True):
        instances = result["instances"]
        instances.pred_masks = mask_head.in_pixels(
            feature,
            instances.filters,
            instances.pred_boxes.tensor,
            stride=stride,
            image_size=(image.shape[-2], image.shape[-1]),
            output_size=output_size(image, inputs),
        )
        instances.remove("filters")
