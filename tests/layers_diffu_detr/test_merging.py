"""Soft-NMS and box voting, by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.merging import BoxVoting, SoftNMS
from layers_diffu_detr.postprocess import Detections, merge_passes

LEFT, NEAR_LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.5, 0.9], [0.5, 0.0, 1.0, 1.0]  # IoU 0.9 and 0


def detections(boxes, scores, classes):
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(classes, dtype=torch.int64),
        torch.arange(len(scores)),
        torch.arange(2.0 * len(scores)).view(-1, 2),
    )


@pytest.mark.parametrize("merge", [SoftNMS(), BoxVoting()])
def test_a_single_pass_and_an_image_without_detections_stay_as_they_are(merge):
    found = detections([LEFT, NEAR_LEFT], [0.9, 0.6], [1, 1])
    assert merge(found, 1) is found
    assert len(merge(detections([], [], []), 2).scores) == 0


def test_soft_nms_lowers_scores_by_the_overlap_with_better_detections_of_the_class():
    found = detections([LEFT, NEAR_LEFT, NEAR_LEFT, RIGHT], [0.6, 0.9, 0.5, 0.7], [1, 1, 2, 1])
    merged = SoftNMS(sigma=0.5)(found, 2)
    assert_close(merged.scores, torch.tensor([0.6 * math.exp(-(0.9**2) / 0.5), 0.9, 0.5, 0.7]))
    assert torch.equal(merged.boxes_xyxy, found.boxes_xyxy) and torch.equal(merged.filters, found.filters)


def test_soft_nms_takes_the_best_of_what_is_left_with_the_lowered_scores():
    # The second falls below the third, which therefore lowers it too, before the second can lower the third.
    third = [0.0, 0.0, 0.5, 0.45]  # IoU with NEAR_LEFT 0.5, with LEFT 0.45
    found = detections([NEAR_LEFT, LEFT, third], [0.9, 0.8, 0.7], [0, 0, 0])
    by_first = 0.8 * math.exp(-(0.9**2) / 0.5), 0.7 * math.exp(-(0.5**2) / 0.5)
    assert by_first[0] < by_first[1]
    merged = SoftNMS(sigma=0.5)(found, 2)
    assert_close(merged.scores, torch.tensor([0.9, by_first[0] * math.exp(-(0.45**2) / 0.5), by_first[1]]))


def test_soft_nms_takes_each_of_many_equal_detections_once():
    found = detections([LEFT] * 200, [0.5] * 200, [0] * 200)
    scores = SoftNMS(sigma=0.01)(found, 2).scores
    assert scores.max() == 0.5 and (scores > 1e-9).sum() == 1 and (scores >= 0).all()


def test_voters_move_the_box_and_leave_the_score():
    found = detections([LEFT, NEAR_LEFT, NEAR_LEFT, RIGHT], [0.6, 0.3, 0.9, 0.7], [1, 1, 2, 1])
    merged = BoxVoting(0.65, 0.8, min_passes=1)(found, 1).best(10)
    assert merged.classes.tolist() == [2, 1, 1]
    assert_close(merged.scores, torch.tensor([0.9, 0.7, 0.6]))
    assert_close(merged.boxes_xyxy[2], torch.tensor([0.0, 0.0, 0.5, (0.6 * 1.0 + 0.3 * 0.9) / 0.9]))
    assert merged.filters[2].tolist() == found.filters[0].tolist()


def test_who_is_suppressed_need_not_vote():
    found = detections([LEFT, NEAR_LEFT], [0.6, 0.3], [1, 1])
    merged = BoxVoting(0.65, 0.95)(found, 2)
    assert_close(merged.scores, torch.tensor([0.6]))
    assert_close(merged.boxes_xyxy, torch.tensor([LEFT]))


def test_boxes_without_area_keep_box_and_score():
    point = [0.3, 0.3, 0.3, 0.3]
    found = detections([point, point, LEFT], [0.6, 0.5, 0.4], [1, 1, 1])
    voted = BoxVoting(min_passes=1)(found, 1)
    assert voted.scores.isfinite().all() and 0.6 in [round(score, 4) for score in voted.scores.tolist()]
    assert SoftNMS(min_passes=1)(found, 1).scores.isfinite().all()


def test_tiny_boxes_vote_as_large_ones_do():
    """Objects of two pixels in an image of a thousand."""
    large = detections([LEFT, NEAR_LEFT], [0.6, 0.3], [1, 1])
    tiny = large.with_boxes(large.boxes_xyxy * 2e-3, large.scores)
    for merge in (BoxVoting(), SoftNMS()):
        assert_close(merge(tiny, 2).scores, merge(large, 2).scores)
    assert_close(BoxVoting()(tiny, 2).boxes_xyxy, BoxVoting()(large, 2).boxes_xyxy * 2e-3)


def test_passes_are_pooled_before_they_vote():
    passes = [detections([box], [score], [1]) for box, score in ((LEFT, 0.8), (NEAR_LEFT, 0.4), (LEFT, 0.6))]
    only = merge_passes(passes, BoxVoting(), top_k=5)
    assert_close(only.scores, torch.tensor([0.8]))
    assert_close(only.boxes_xyxy, torch.tensor([[0.0, 0.0, 0.5, (0.8 + 0.4 * 0.9 + 0.6) / 1.8]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftNMS(sigma=0), "merge.sigma is 0; it must be positive"),
        (lambda: BoxVoting(vote_iou_threshold=1.2), r"merge.vote_iou_threshold is 1.2; it must lie in \(0, 1\]"),
        (lambda: BoxVoting(iou_threshold=0), "iou_threshold is 0"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
