"""Masks on their way in, as ground truth, and on their way out, of detections with filters."""

from collections.abc import Iterable

from detectron2.structures import BitMasks, Instances, PolygonMasks
from torch import Tensor

from layers_diffu_detr.mask_head import DynamicMaskHead, sample_masks
from projects.diffu_base.modeling.detector import output_size


def ground_truth_masks(instances: Instances, stride: int) -> Tensor:
    """`gt_masks` where a mask feature of `stride` has its values, (n, h, w) bool.

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
    """Put `pred_masks` in the place of the `filters` of each image's detections.

    Args:
        mask_features: per image (C, H, W), at `stride`.
        images: (3, H_i, W_i) each, before padding.
    """
    for result, feature, image, inputs in zip(results, mask_features, images, batched_inputs, strict=True):
        instances = result["instances"]
        instances.pred_masks = mask_head.in_pixels(
            feature,
            instances.filters,
            instances.pred_boxes.tensor,
            stride=stride,
            image_size=tuple(image.shape[-2:]),
            output_size=output_size(image, inputs),
        )
        instances.remove("filters")
