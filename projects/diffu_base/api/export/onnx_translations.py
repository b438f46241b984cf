"""Translations to ONNX of what PyTorch's exporter cannot translate."""

from collections.abc import Callable
from typing import Any

import onnxscript
import torch

from .suppression import class_wise_nms  # noqa: F401  (registers the operation)

op: Any = onnxscript.opset18  # its types do not know that lists are constants

_BOOL = 9  # ONNX's number of the type


def non_max_suppression(boxes_xyxy: Any, scores: Any, classes: Any, iou_threshold: float, num_classes: int) -> Any:
    """Translate `class_wise_nms`. ONNX's operation takes a score for each class: -1 in all but a detection's own."""
    labels = op.Constant(value_ints=list(range(num_classes)))
    own = op.Equal(op.Unsqueeze(classes, [1]), op.Unsqueeze(labels, [0, 2]))  # (B, K, P)
    per_class = op.Where(own, op.Unsqueeze(scores, [1]), op.Constant(value_float=-1.0))
    kept = op.NonMaxSuppression(  # rows of image, class, detection
        boxes_xyxy,
        per_class,
        op.Constant(value_ints=[2**31 - 1]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[-0.5]),
    )
    images_and_places = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
    ones = op.Expand(op.Constant(value_int=1), op.Shape(kept, end=1))
    none = op.Mul(classes, op.Constant(value_int=0))
    return op.Cast(op.ScatterND(none, images_and_places, ones), to=_BOOL)


def number_of_elements(x: Any) -> Any:
    """Translate `sym_numel`, which detectron2's pooling of regions calls."""
    return op.Size(x)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.diffu_detr.class_wise_nms.default: non_max_suppression,
    torch.ops.aten.sym_numel.default: number_of_elements,
}
