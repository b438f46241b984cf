"""From predictions to detections: choosing each pass's best (query, class) pairs, and merging the passes by NMS."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy


@dataclass
class Detections:
    """N detections of one image.

    Attributes:
        boxes_xyxy: (N, 4), normalized.
        scores: (N,).
        classes: (N,) int64.
        queries: (N,) int64, the query that each detection comes from.
        filters: (N, F), what a `DynamicMaskHead` makes the masks from; None for a model without masks.
    """

    boxes_xyxy: Tensor
    scores: Tensor
    classes: Tensor
    queries: Tensor
    filters: Tensor | None = None

    def __getitem__(self, index: Tensor | slice | int) -> "Detections":
        """The detections at `index`."""
        return self._each(lambda name: getattr(self, name)[index])

    def best(self, top_k: int) -> "Detections":
        """The `top_k` detections with the highest scores, best first."""
        return self[self.scores.argsort(descending=True, stable=True)[:top_k]]

    def with_boxes(self, boxes_xyxy: Tensor, scores: Tensor) -> "Detections":
        """The same detections with other boxes (N, 4) and scores (N,)."""
        return replace(self, boxes_xyxy=boxes_xyxy, scores=scores)

    @staticmethod
    def cat(parts: list["Detections"], dim: int = 0) -> "Detections":
        """The detections of all parts in one; `dim` is 1 for those of `best_pairs`."""
        return parts[0]._each(lambda name: torch.cat([getattr(part, name) for part in parts], dim=dim))

    def _each(self, change: Callable[[str], Tensor]) -> "Detections":
        names = (field.name for field in fields(self) if getattr(self, field.name) is not None)
        return Detections(**{name: change(name) for name in names})


def best_pairs(logits: Tensor, boxes: Tensor, top_k: int, filters: Tensor | None = None) -> Detections:
    """The `top_k` best (query, class) pairs of each image, best first, as one table: its fields are (B, N, ...).

    Args:
        logits: (B, Q, K).
        boxes: (B, Q, 4) normalized cxcywh.
        filters: (B, Q, F), the filters of each query's mask; None: the detections have no filters.
    """
    num_classes = logits.shape[-1]
    best, pairs = logits.flatten(1).topk(min(top_k, logits[0].numel()), dim=1)
    queries = pairs // num_classes
    return Detections(
        boxes_xyxy=rows_at(box_cxcywh_to_xyxy(boxes), queries),
        scores=best.float().sigmoid(),
        classes=pairs % num_classes,
        queries=queries,
        filters=None if filters is None else rows_at(filters, queries),
    )


def top_detections(logits: Tensor, boxes: Tensor, top_k: int, filters: Tensor | None = None) -> list[Detections]:
    """`best_pairs`, image by image."""
    table = best_pairs(logits, boxes, top_k, filters)
    return [table[i] for i in range(len(logits))]


def rows_at(values: Tensor, rows: Tensor) -> Tensor:
    """The rows (B, N, F) of `values` (B, P, F) whose numbers are `rows` (B, N)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))


class ClassWiseNMS:
    """Suppress overlapping detections of the same class.

    Args:
        iou_threshold: in (0, 1]. Of two detections whose IoU is larger, the one with the lower score goes.
        min_passes: detections that come from fewer passes are not suppressed: 1 always suppresses, 2 leaves those of a
            single pass as they are.

    Raises:
        ValueError: iou_threshold is not in (0, 1].
    """

    def __init__(self, iou_threshold: float = 0.8, min_passes: int = 2) -> None:
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"nms.iou_threshold is {iou_threshold}; it must lie in (0, 1]")
        self.iou_threshold = iou_threshold
        self.min_passes = min_passes

    def __call__(self, detections: Detections, num_passes: int) -> Detections:
        """The detections that remain of `detections`, which come from `num_passes` passes."""
        if num_passes < self.min_passes:
            return detections
        # torchvision tells classes apart by shifting each box by a multiple of its class. With 13,204 classes the
        # shifts would leave a float32 coordinate three decimals.
        boxes, scores = detections.boxes_xyxy.double(), detections.scores.double()
        keep = batched_nms(boxes, scores, detections.classes, self.iou_threshold)
        return detections[keep]


# From the pooled detections of an image and the number of passes that they come from to those that remain.
Merge = Callable[[Detections, int], Detections]


def merge_passes(passes: list[Detections], merge: Merge | None, top_k: int) -> Detections:
    """Pool one image's detections from several passes, apply `merge` (None: all stay), and keep the `top_k` best."""
    pooled = Detections.cat(passes)
    return (pooled if merge is None else merge(pooled, len(passes))).best(top_k)
