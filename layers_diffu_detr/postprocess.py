"""From predictions to detections: the best (query, class) pairs of a pass, and the NMS that merges passes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy


@dataclass
class Detections:
    """Detections of one image: boxes_xyxy (N, 4) normalized, scores (N,), classes (N,) int64, queries (N,) int64."""

    boxes_xyxy: Tensor
    scores: Tensor
    classes: Tensor
    queries: Tensor

    def __getitem__(self, index: Tensor | slice) -> "Detections":
        return Detections(self.boxes_xyxy[index], self.scores[index], self.classes[index], self.queries[index])

    def best(self, top_k: int) -> "Detections":
        """The `top_k` detections of highest score, best first."""
        return self[self.scores.argsort(descending=True, stable=True)[:top_k]]

    @staticmethod
    def cat(parts: list["Detections"]) -> "Detections":
        fields = ("boxes_xyxy", "scores", "classes", "queries")
        return Detections(*(torch.cat([getattr(part, field) for part in parts]) for field in fields))


def top_detections(logits: Tensor, boxes: Tensor, top_k: int) -> list[Detections]:
    """The `top_k` best (query, class) pairs of each image, best first: logits (B, Q, K), boxes (B, Q, 4)."""
    num_classes = logits.shape[-1]
    best, pairs = logits.flatten(1).topk(min(top_k, logits[0].numel()), dim=1)
    scores = best.float().sigmoid()
    queries = pairs // num_classes
    boxes_xyxy = box_cxcywh_to_xyxy(boxes.gather(1, queries[..., None].expand(-1, -1, 4)))
    return [Detections(*fields) for fields in zip(boxes_xyxy, scores, pairs % num_classes, queries, strict=True)]


class ClassWiseNMS:
    """Suppress overlapping detections of the same class.

    Args:
        iou_threshold: pairs that overlap more are one detection, in (0, 1].
        min_passes: runs when at least so many passes are pooled; 2 (the released DiffuDETR) leaves a single pass as it
            is, 1 always suppresses.
    """

    def __init__(self, iou_threshold: float = 0.8, min_passes: int = 2):
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"nms.iou_threshold is {iou_threshold}; it must lie in (0, 1]")
        self.iou_threshold = iou_threshold
        self.min_passes = min_passes

    def __call__(self, detections: Detections, num_passes: int) -> Detections:
        """Return the detections that remain of those pooled from `num_passes` passes."""
        if num_passes < self.min_passes:
            return detections
        keep = batched_nms(
            detections.boxes_xyxy.float(), detections.scores.float(), detections.classes, self.iou_threshold
        )
        return detections[keep]


def merge_passes(passes: list[Detections], nms: ClassWiseNMS | None, top_k: int) -> Detections:
    """Pool one image's detections of several passes, suppress, and keep the `top_k` best."""
    pooled = Detections.cat(passes)
    return (pooled if nms is None else nms(pooled, len(passes))).best(top_k)
