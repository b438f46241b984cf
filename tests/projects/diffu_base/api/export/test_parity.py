"""Differences between detections, by hand."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from projects.diffu_base.api.export.parity import Difference, difference

BOXES = [[0.0, 0, 10, 10], [20, 20, 30, 30]]


def pytorch(boxes=BOXES, scores=(0.9, 0.5), classes=(0, 1), masks=None):
    instances = Instances((40, 40), pred_boxes=Boxes(torch.tensor(boxes)), scores=torch.tensor(scores))
    instances.pred_classes = torch.tensor(classes)
    if masks is not None:
        instances.pred_masks = torch.tensor(masks)
    return instances


def ours(boxes=BOXES, scores=(0.9, 0.5), classes=(0, 1), **fields):
    """Two detections and a row that is none."""
    return {
        "boxes": np.array([*boxes, [0, 0, 0, 0]], dtype=np.float32),
        "scores": np.array([*scores, 0], dtype=np.float32),
        "classes": np.array([*classes, -1]),
        **{name: np.array(value) for name, value in fields.items()},
    }


def test_equal_detections_differ_by_nothing_in_any_order():
    assert difference(ours(), pytorch(), limit=100) == Difference(detections=4)
    turned = ours(BOXES[::-1], (0.5, 0.9), (1, 0))
    assert difference(turned, pytorch(), limit=100) == Difference(detections=4)


def test_differences_are_the_largest_of_all_detections():
    boxes = [[0.0, 0, 10, 10.0625], [20.03125, 20, 30, 30]]
    found = difference(ours(boxes, (0.9, 0.5005)), pytorch(), limit=100)
    assert found.pixels == 0.0625 and found.score == pytest.approx(5e-4, rel=1e-3) and found.small
    assert not difference(ours([[0.0, 0, 10, 10.2], BOXES[1]]), pytorch(), limit=100).small
    assert not difference(ours(scores=(0.9, 0.502)), pytorch(), limit=100).small


def test_another_class_or_a_missing_detection_is_no_rounding():
    assert difference(ours(classes=(0, 2)), pytorch(), limit=100).pixels == float("inf")
    assert not difference(ours(), pytorch([BOXES[0]], (0.9,), (0,)), limit=100).small
    assert not difference(ours(), pytorch(torch.zeros(0, 4), (), torch.zeros(0, dtype=int)), limit=100).small


def test_rounding_may_decide_which_detection_is_the_last_of_as_many_as_there_may_be():
    other = ours([BOXES[0], [1, 1, 2, 2]], (0.9, 0.5002))
    assert not difference(other, pytorch(), limit=100).small
    assert difference(other, pytorch(), limit=2) == Difference(detections=4)


def test_masks_differ_by_the_share_of_their_pixels():
    masks = np.zeros((2, 4, 5), dtype=bool)
    changed = masks.copy()
    changed[1, 0, 0] = True
    padded = np.concatenate([changed, masks[:1]])
    found = difference(ours(masks=padded), pytorch(masks=masks), limit=100)
    assert found.masks == pytest.approx(1 / 20) and not found.small
