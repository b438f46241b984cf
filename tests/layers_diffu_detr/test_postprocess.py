"""Best (query, class) pairs, class-wise NMS and the pooling of passes, by hand."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.postprocess import ClassWiseNMS, Detections, merge_passes, top_detections


def detections(boxes, scores, classes):
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(classes, dtype=torch.int64),
        torch.arange(len(scores)),
    )


LEFT, NEAR_LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.5, 0.9], [0.5, 0.0, 1.0, 1.0]  # IoU 0.9 and 0


def test_the_best_pairs_may_share_a_query():
    scores = torch.tensor([[[0.9, 0.1], [0.8, 0.85]], [[0.2, 0.3], [0.4, 0.1]]])
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 0.2]]).expand(2, -1, -1)
    first, second = top_detections(scores.logit(), boxes, top_k=3)
    assert_close(first.scores, torch.tensor([0.9, 0.85, 0.8]))
    assert first.queries.tolist() == [0, 1, 1] and first.classes.tolist() == [0, 1, 0]
    assert_close(first.boxes_xyxy[:2], torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.4, 0.5, 0.6]]))
    assert second.queries.tolist() == [1, 0, 0] and second.classes.tolist() == [0, 1, 0]


def test_fewer_pairs_than_asked_for_are_all_returned():
    (result,) = top_detections(torch.zeros(1, 2, 3), torch.rand(1, 2, 4), top_k=100)
    assert len(result.scores) == 6


def test_scores_are_float32_whatever_autocast_made_of_the_logits():
    (result,) = top_detections(torch.zeros(1, 2, 3, dtype=torch.bfloat16), torch.rand(1, 2, 4), top_k=4)
    assert result.scores.dtype == torch.float32 and result.boxes_xyxy.dtype == torch.float32


def test_nms_suppresses_the_lower_of_two_overlapping_detections_of_a_class():
    pooled = detections([LEFT, NEAR_LEFT, NEAR_LEFT, RIGHT], [0.6, 0.9, 0.5, 0.7], [1, 1, 2, 1])
    kept = ClassWiseNMS(0.8)(pooled, num_passes=2).best(10)
    assert_close(kept.scores, torch.tensor([0.9, 0.7, 0.5]))
    assert kept.classes.tolist() == [1, 1, 2]
    assert len(ClassWiseNMS(0.95)(pooled, num_passes=2).scores) == 4


@pytest.mark.parametrize("label", [80, 1202, 13203])
def test_the_number_of_a_class_does_not_blur_its_boxes(label):
    """Small objects of V3Det's last class, ten pixels wide in an image of a thousand, and a pixel or two apart."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, generator=generator) * 0.03 + 0.9
    boxes = torch.cat([corners, corners + 0.01], dim=1)
    scores = torch.rand(200, generator=generator)
    kept = [
        ClassWiseNMS(0.5)(Detections(boxes, scores, torch.full((200,), each), torch.arange(200)), num_passes=2)
        for each in (0, label)
    ]
    assert kept[0].queries.tolist() == kept[1].queries.tolist()


def test_as_released_a_single_pass_is_left_as_it_is():
    doubles = detections([LEFT, LEFT], [0.6, 0.9], [0, 0])
    assert len(ClassWiseNMS(0.8, min_passes=2)(doubles, num_passes=1).scores) == 2
    assert len(ClassWiseNMS(0.8, min_passes=1)(doubles, num_passes=1).scores) == 1


def test_passes_are_pooled_suppressed_and_cut_to_the_best():
    first, second = detections([LEFT, RIGHT], [0.6, 0.4], [0, 0]), detections([NEAR_LEFT, RIGHT], [0.9, 0.3], [0, 1])
    merged = merge_passes([first, second], ClassWiseNMS(0.8), top_k=2)
    assert_close(merged.scores, torch.tensor([0.9, 0.4]))
    assert_close(merged.boxes_xyxy, torch.tensor([NEAR_LEFT, RIGHT]))
    assert_close(merge_passes([first, second], None, top_k=3).scores, torch.tensor([0.9, 0.6, 0.4]))


def test_no_detections_stay_none():
    none = detections([], [], [])
    merged = merge_passes([none, none], ClassWiseNMS(0.8), top_k=5)
    assert merged.boxes_xyxy.shape == (0, 4) and len(merged.scores) == 0


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.1])
def test_an_iou_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ValueError, match=rf"nms.iou_threshold is {threshold}"):
        ClassWiseNMS(threshold)


def test_filters_travel_with_the_detections_of_their_query():
    logits = torch.tensor([[[2.0, -3.0], [1.0, 3.0]]])
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]])
    (first,) = top_detections(logits, boxes, top_k=3, filters=torch.tensor([[[1.0, 1.5], [2.0, 2.5]]]))
    assert first.filters.tolist() == [[2.0, 2.5], [1.0, 1.5], [2.0, 2.5]]
    (second,) = top_detections(logits - 5, boxes, top_k=3, filters=torch.tensor([[[3.0, 3.5], [4.0, 4.5]]]))
    merged = merge_passes([second, first], ClassWiseNMS(0.5), top_k=2)  # those of the second pass are duplicates
    assert merged.filters.tolist() == [[2.0, 2.5], [1.0, 1.5]]
    assert top_detections(logits, boxes, top_k=3)[0].best(1).filters is None
