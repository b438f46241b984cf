"""How well draws of noise agree."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from projects.diffu_base.api.agreement import agreement_of


def found(*detections) -> Instances:
    """Detections (box, score, class) of an image."""
    boxes, scores, classes = zip(*detections, strict=True) if detections else ((), (), ())
    return Instances(
        (100, 100),
        pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        scores=torch.tensor(scores, dtype=torch.float32),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
    )


BOX, HALF, ELSEWHERE = (0, 0, 10, 10), (0, 0, 10, 5), (50, 50, 60, 60)


def test_it_is_the_mean_of_score_times_iou_of_the_best_match_of_its_class():
    first = found((BOX, 0.9, 1), (ELSEWHERE, 0.8, 2))
    again = found((BOX, 0.6, 1), (BOX, 1.0, 2), (ELSEWHERE, 0.8, 2))
    half = found((HALF, 0.9, 1), (BOX, 0.2, 1))
    assert agreement_of(first, [again, half]).tolist() == pytest.approx([(0.6 + 0.45) / 2, (0.8 + 0) / 2])


def test_what_never_comes_back_has_none():
    assert agreement_of(found((BOX, 0.9, 1)), [found(), found((ELSEWHERE, 0.9, 1))]).tolist() == [0]


def test_an_image_without_detections_has_no_agreements():
    assert agreement_of(found(), [found((BOX, 0.9, 1))]).shape == (0,)
