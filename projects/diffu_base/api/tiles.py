"""Detecting in big pictures by overlapping tiles, so that small objects keep their pixels."""

from dataclasses import dataclass
from typing import Any

import torch
from detectron2.structures import Boxes, Instances

from layers_diffu_detr.postprocess import ClassWiseNMS, Detections

OVERLAP = 0.25  # of neighbouring tiles, as a share of their side
BORDER = 2.0  # pixels within which a box touches a border
DUPLICATE_IOU = 0.5  # of the NMS that a model without one gets for its tiles


@dataclass(frozen=True)
class Window:
    """A part of a picture, in pixels: from x0, y0 to x1, y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0


def windows(size: tuple[int, int], side: int) -> list[Window]:
    """The tiles of a picture (height, width): squares of `side` pixels that overlap by at least `OVERLAP`.

    There are none if the picture is no larger than a tile.
    """
    height, width = size
    if height <= side and width <= side:
        return []
    return [
        Window(x, y, min(x + side, width), min(y + side, height))
        for y in _starts(height, side)
        for x in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    """Where tiles start along an axis: evenly from 0 to the last one, which ends at the border."""
    if length <= side:
        return [0]
    steps = -(-(length - side) // max(1, int(side * (1 - OVERLAP))))
    return [round(i * (length - side) / steps) for i in range(steps + 1)]


def joined(whole: Instances, tiles: list[tuple[Window, Instances]], merge: Any) -> Instances:
    """The detections of a picture, of the picture as a whole and of its tiles.

    A box that touches the border of its tile within the picture is cut off: a neighbouring tile, which overlaps, or the
    whole picture shows all of the object, so such boxes are left out. Duplicates go by the model's own merging.

    Args:
        whole: detections in the whole picture.
        tiles: windows, and the detections in each, relative to it.
        merge: the slot `sampler.merge` of the model; None takes an NMS.
    """
    parts = [whole, *(_in_picture(found, window, whole.image_size) for window, found in tiles)]
    together = Instances.cat(parts)
    places = torch.arange(len(together), device=together.scores.device)
    detections = Detections(together.pred_boxes.tensor, together.scores, together.pred_classes, places)
    nms = merge or ClassWiseNMS(DUPLICATE_IOU, min_passes=1)
    kept = nms(detections, num_passes=len(parts)).best(len(together))
    result = together[kept.queries]
    result.pred_boxes = Boxes(kept.boxes_xyxy.to(together.pred_boxes.tensor.dtype))  # merging may move boxes
    result.scores = kept.scores.to(together.scores.dtype)
    return result


def _in_picture(found: Instances, window: Window, size: tuple[int, int]) -> Instances:
    """The detections of a tile that its inner borders do not cut, in the picture's coordinates."""
    (height, width), boxes = size, found.pred_boxes.tensor
    tile_height, tile_width = window.size
    cut = torch.zeros(len(found), dtype=torch.bool, device=boxes.device)
    for column, at_border, limit, is_inner in (
        (0, torch.less, BORDER, window.x0 > 0),
        (1, torch.less, BORDER, window.y0 > 0),
        (2, torch.greater, tile_width - BORDER, window.x1 < width),
        (3, torch.greater, tile_height - BORDER, window.y1 < height),
    ):
        if is_inner:
            cut |= at_border(boxes[:, column], torch.tensor(limit, device=boxes.device))
    kept = found[~cut]
    offset = boxes.new_tensor([window.x0, window.y0, window.x0, window.y0])
    moved = Instances(size, pred_boxes=Boxes(kept.pred_boxes.tensor + offset))
    moved.scores, moved.pred_classes = kept.scores, kept.pred_classes
    if kept.has("pred_masks"):
        masks = kept.pred_masks.new_zeros((len(kept), height, width))
        masks[:, window.y0 : window.y1, window.x0 : window.x1] = kept.pred_masks
        moved.pred_masks = masks
    return moved
