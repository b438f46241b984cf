"""Tiles of big pictures: where they lie, and how their detections come together."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base.api.tiles import OVERLAP, Window, joined, windows


def found(size, *detections, masks=None) -> Instances:
    """Detections (box, score, class) in a picture of this size."""
    boxes, scores, classes = zip(*detections, strict=True) if detections else ((), (), ())
    instances = Instances(size, pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)))
    instances.scores = torch.tensor(scores, dtype=torch.float32)
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if masks is not None:
        instances.pred_masks = masks
    return instances


@pytest.mark.parametrize("size", [(1000, 1500), (641, 300), (640, 2000)])
def test_tiles_cover_the_picture_and_overlap(size):
    tiles = windows(size, 640)
    covered = torch.zeros(size, dtype=torch.bool)
    for tile in tiles:
        covered[tile.y0 : tile.y1, tile.x0 : tile.x1] = True
        assert tile.size == (min(640, size[0]), min(640, size[1]))
    assert covered.all()
    starts = sorted({tile.x0 for tile in tiles})
    assert all(b - a <= 640 * (1 - OVERLAP) for a, b in zip(starts, starts[1:], strict=False))


def test_a_picture_of_the_size_of_a_tile_is_not_cut():
    assert windows((640, 640), 640) == [] and windows((100, 90), 640) == []


def test_detections_of_tiles_are_moved_and_what_a_border_cuts_is_left_out():
    tile = Window(40, 0, 100, 60)  # its left and lower borders lie within the picture
    inside, cut_left, cut_below, at_the_edge = (5, 5, 15, 15), (0, 5, 15, 15), (5, 40, 15, 59), (50, 0, 60, 20)
    of_tile = found(
        (60, 60), *((box, 0.9 - i / 10, i) for i, box in enumerate((inside, cut_left, cut_below, at_the_edge)))
    )
    result = joined(found((100, 100)), [(tile, of_tile)], ClassWiseNMS(0.5))
    assert result.pred_boxes.tensor.tolist() == [[45, 5, 55, 15], [90, 0, 100, 20]]
    assert result.image_size == (100, 100)


@pytest.mark.parametrize("merge", [ClassWiseNMS(0.5), None])
def test_an_object_in_two_tiles_is_found_once_with_the_best_score(merge):
    left, right = Window(0, 0, 60, 60), Window(40, 0, 100, 60)
    result = joined(
        found((60, 100), ((45, 5, 55, 16), 0.3, 1)),
        [(left, found((60, 60), ((45, 5, 55, 15), 0.8, 1))), (right, found((60, 60), ((5, 5, 15, 15), 0.9, 1)))],
        merge,
    )
    assert result.scores.tolist() == pytest.approx([0.9])
    assert result.pred_boxes.tensor.tolist() == [[45, 5, 55, 15]]


def test_masks_lie_where_the_tile_lies():
    mask = torch.zeros(1, 60, 60, dtype=torch.bool)
    mask[0, 5:15, 5:15] = True
    nothing = found((60, 100), masks=torch.zeros(0, 60, 100, dtype=torch.bool))
    result = joined(nothing, [(Window(40, 0, 100, 60), found((60, 60), ((5, 5, 15, 15), 0.9, 1), masks=mask))], None)
    assert result.pred_masks[0, 5:15, 45:55].all() and result.pred_masks.sum() == 100
