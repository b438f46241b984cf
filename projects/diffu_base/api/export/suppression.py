"""Non-maximum suppression in a graph. It marks what stays: the number of detections depends on no value.

ONNX has an operation that tells classes apart; PyTorch's exported programs have torchvision's, which does not.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import nms

# (boxes_xyxy (B, P, 4), scores (B, P), classes (B, P), iou_threshold, num_classes) -> (B, P) bool, True where a
# detection stays. Of two detections of a class whose IoU is larger than the threshold, the one with the higher score
# stays.
Suppression = Callable[[Tensor, Tensor, Tensor, float, int], Tensor]


def suppress(boxes_xyxy: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float, num_classes: int) -> Tensor:
    """The `Suppression` by torchvision's operation. Boxes of different classes are moved apart, in float64."""
    boxes_xyxy = boxes_xyxy.double()
    apart = boxes_xyxy + classes[..., None] * (boxes_xyxy.max() - boxes_xyxy.min() + 1)
    marks = []
    for boxes, of_image in zip(apart, scores, strict=True):
        kept = nms(boxes, of_image.double(), iou_threshold)
        marks.append(torch.zeros_like(of_image).index_fill(0, kept, 1.0) > 0)
    return torch.stack(marks)


@torch.library.custom_op("diffu_detr::class_wise_nms", mutates_args=())
def class_wise_nms(
    boxes_xyxy: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float, num_classes: int
) -> Tensor:
    """The `Suppression` as one operation, which an exporter replaces by its format's own."""
    return suppress(boxes_xyxy, scores, classes, iou_threshold, num_classes)


@class_wise_nms.register_fake
def _(boxes_xyxy: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float, num_classes: int) -> Tensor:
    return torch.empty_like(classes, dtype=torch.bool)
