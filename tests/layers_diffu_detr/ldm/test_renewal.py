"""Which queries go on after a pass, and when a chain stops, by hand."""

import pytest
import torch

from layers_diffu_detr.ldm.passes import DenoisingPass, PassPrediction, QueryBoxes
from layers_diffu_detr.ldm.renewal import DistinctRenewal, DropDuplicates, FixedRenewal, NothingNew, TimeRenewal

LEFT, RIGHT, TOP = [0.25, 0.5, 0.2, 0.2], [0.75, 0.5, 0.2, 0.2], [0.5, 0.1, 0.2, 0.2]
NEAR_LEFT = [0.26, 0.5, 0.2, 0.2]  # IoU with LEFT 0.19 / 0.21


def a_pass(boxes, confidence, valid=None):
    """A pass over one image, or over several."""
    boxes, confidence = torch.tensor(boxes), torch.tensor(confidence)
    if boxes.dim() == 2:
        boxes, confidence = boxes[None], confidence[None]
    queries = QueryBoxes(torch.zeros_like(boxes), valid=None if valid is None else torch.tensor([valid]))
    return DenoisingPass(50, queries, PassPrediction(boxes, confidence, None))


def test_thresholds_keep_what_is_above_them():
    last = a_pass([LEFT] * 3, [0.2, 0.5, 0.6])
    assert FixedRenewal(0.5).keep(last, 33, 100).tolist() == [[False, False, True]]
    assert TimeRenewal().keep(last, 33, 100).tolist() == [[False, True, True]]
    assert FixedRenewal(0.5).restarts and TimeRenewal().restarts


@pytest.mark.parametrize(("kind", "restarts"), [(DistinctRenewal, True), (DropDuplicates, False)])
def test_of_boxes_that_overlap_the_most_confident_goes_on(kind, restarts):
    renewal = kind(0.5)
    assert renewal.restarts == restarts
    last = a_pass([LEFT, RIGHT, NEAR_LEFT, TOP], [0.3, 0.1, 0.9, 0.0])
    assert renewal.keep(last, 0, 100).tolist() == [[False, True, True, True]]
    assert kind(0.95).keep(last, 0, 100).all()


def test_images_are_judged_by_themselves():
    last = a_pass([[LEFT, RIGHT], [LEFT, LEFT]], [[0.1, 0.9], [0.2, 0.3]])
    assert DistinctRenewal().keep(last, 0, 100).tolist() == [[True, True], [False, True]]


def test_a_query_that_does_not_count_neither_goes_on_nor_suppresses():
    last = a_pass([LEFT, NEAR_LEFT, RIGHT], [0.9, 0.3, 0.5], valid=[False, True, True])
    assert DropDuplicates(0.5).keep(last, 0, 100).tolist() == [[False, True, True]]


def test_a_chain_stops_when_a_pass_finds_nothing_new():
    stop = NothingNew(confidence=0.3, iou_threshold=0.5)
    first, second = a_pass([LEFT, RIGHT], [0.9, 0.2]), a_pass([NEAR_LEFT, RIGHT], [0.8, 0.3])
    assert stop([first]).tolist() == [False]
    assert stop([first, second]).tolist() == [True]  # the right box is below the threshold in both
    found = a_pass([LEFT, RIGHT], [0.9, 0.31])
    assert stop([first, found]).tolist() == [False]
    assert stop([first, found, found]).tolist() == [True]
    unsure = a_pass([LEFT, RIGHT], [0.1, 0.9])  # an earlier box counts only where it was found itself
    assert stop([unsure, found]).tolist() == [False]


def test_a_query_that_does_not_count_finds_nothing():
    stop, first = NothingNew(), a_pass([LEFT, RIGHT], [0.9, 0.1])
    assert stop([first, a_pass([LEFT, RIGHT], [0.9, 0.9], valid=[True, False])]).tolist() == [True]
    assert stop([a_pass([LEFT, RIGHT], [0.9, 0.9], valid=[True, False]), a_pass([RIGHT], [0.9])]).tolist() == [False]


def test_images_stop_by_themselves():
    passes = [
        a_pass([[LEFT, RIGHT], [LEFT, RIGHT]], [[0.9, 0.1], [0.9, 0.1]]),
        a_pass([[LEFT, RIGHT], [LEFT, RIGHT]], [[0.9, 0.9], [0.9, 0.1]]),
    ]
    assert NothingNew()(passes).tolist() == [False, True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistinctRenewal(0), r"renewal.iou_threshold is 0; it must lie in \(0, 1\]"),
        (lambda: NothingNew(confidence=2), r"stop.confidence is 2; it must lie in \[0, 1\]"),
        (lambda: NothingNew(iou_threshold=-1), r"stop.iou_threshold is -1"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
