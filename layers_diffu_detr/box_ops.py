"""Arithmetic on boxes: conversions, overlaps, the logit of a coordinate. Only `distinct_boxes` waits for a GPU."""

import torch
from torchvision.ops import batched_nms

# Added to denominators, which are 0 for boxes without area. The published weights were trained with this value.
_EPS = 1e-6


def box_cxcywh_to_xyxy(boxes: torch.Tensor) -> torch.Tensor:
    """Centre and size (..., 4) to corners (..., 4): x1, y1, x2, y2, in the units of the input."""
    centre, half_size = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half_size, centre + half_size], dim=-1)


def box_xyxy_to_cxcywh(boxes: torch.Tensor) -> torch.Tensor:
    """Corners (..., 4) to centre and size (..., 4), in the units of the input."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], dim=-1)


def inverse_sigmoid(x: torch.Tensor, eps: float = 1e-3) -> torch.Tensor:
    """Logit of `x`, which is clamped to [0, 1]. Numerator and denominator are at least `eps`: the result is finite."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def box_area(boxes_xyxy: torch.Tensor) -> torch.Tensor:
    """Areas (...) of corner boxes (..., 4)."""
    width, height = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).unbind(-1)
    return width * height


def _overlap(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor, eps: float = _EPS) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection over union, and area of the union, of two sets of corner boxes, broadcast against each other."""
    top_left = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    bottom_right = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    union = box_area(a_xyxy) + box_area(b_xyxy) - intersection
    return intersection / (union + eps), union


def _generalized_overlap(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """Generalized IoU (https://giou.stanford.edu) of two sets of corner boxes, broadcast against each other."""
    iou, union = _overlap(a_xyxy, b_xyxy)
    top_left = torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    bottom_right = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    hull = (bottom_right - top_left).clamp(min=0).prod(-1)
    return iou - (hull - union) / (hull + _EPS)


def paired_iou(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """IoU (N,) of each box in `a_xyxy` (N, 4) with the box at the same place in `b_xyxy` (N, 4)."""
    return _overlap(a_xyxy, b_xyxy)[0]


def pairwise_iou(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """IoU (..., N, M) of every box in `a_xyxy` (..., N, 4) with every box in `b_xyxy` (..., M, 4).

    Boxes of any size get the right value: the number that guards against division by 0 is far below any box's area.
    """
    return _overlap(a_xyxy[..., :, None, :], b_xyxy[..., None, :, :], eps=1e-12)[0]


def paired_giou(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """Generalized IoU (N,), in (-1, 1], of the boxes at the same place in `a_xyxy` (N, 4) and `b_xyxy` (N, 4)."""
    return _generalized_overlap(a_xyxy, b_xyxy)


def pairwise_giou(a_xyxy: torch.Tensor, b_xyxy: torch.Tensor) -> torch.Tensor:
    """Generalized IoU (..., N, M) of every box in `a_xyxy` (..., N, 4) with every box in `b_xyxy` (..., M, 4)."""
    return _generalized_overlap(a_xyxy[..., :, None, :], b_xyxy[..., None, :, :])


def distinct_boxes(boxes: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Which of each image's boxes greedy NMS leaves: those that overlap none that is left before them.

    Args:
        boxes: (B, N, 4) normalized cxcywh, the best first.
        iou_threshold: of two boxes whose IoU is larger, the first stays.

    Returns:
        (B, N) bool.
    """
    images, number = boxes.shape[:2]
    rank = torch.arange(images * number, device=boxes.device, dtype=torch.float64)
    image = torch.arange(images, device=boxes.device).repeat_interleave(number)
    # torchvision moves the images' boxes apart, which would cost a float32 coordinate its last digits.
    kept = batched_nms(box_cxcywh_to_xyxy(boxes).flatten(0, 1).double(), -rank, image, iou_threshold)
    return torch.zeros_like(rank, dtype=torch.bool).index_fill(0, kept, True).view(images, number)
