"""Statistics of turns, and equality of what two settings computed."""

import pytest

from tools.benchmarking.compare import detection_differences, loss_differences, ratio, summary


def test_summary_is_median_and_quartiles():
    assert summary([4, 1, 2, 3, 5]) == {"median": 3.0, "q25": 2.0, "q75": 4.0, "spread": 2.0}
    assert summary([7]) == {"median": 7.0, "q25": 7.0, "q75": 7.0, "spread": 0.0}


def test_ratio_is_of_medians_with_the_summary_of_pairs():
    entry = ratio([1, 2, 6], [2, 2, 3])
    assert entry["ratio"] == 2 / 2
    assert entry["paired"]["median"] == 1.0 and entry["paired"]["q25"] == 0.75 and entry["paired"]["q75"] == 1.5


def test_there_is_no_ratio_to_nothing():
    assert ratio([1, 2], [0, 1]) is None


def test_losses_are_compared_by_name():
    entry = loss_differences({"loss_a": 2.0, "loss_b": 1e-3}, {"loss_a": 2.0, "loss_b": 1.1e-3})
    assert not entry["equal"]
    assert entry["max_abs"] == pytest.approx(1e-4) and entry["max_relative"] == pytest.approx(1 / 11)
    assert entry["by_name"]["loss_a"] == 0
    assert loss_differences({"loss_a": 2.0}, {"loss_a": 2.00001})["equal"]


def test_losses_of_one_setting_only_are_named():
    entry = loss_differences({"loss_a": 1.0, "loss_b": 1.0}, {"loss_a": 1.0, "loss_c": 1.0})
    assert entry == {"equal": False, "names_of_one_only": ["loss_b", "loss_c"]}


def detections(*found: tuple[list[float], float, int]) -> list[dict]:
    boxes, scores, classes = zip(*found, strict=True) if found else ((), (), ())
    return [{"boxes": list(boxes), "scores": list(scores), "classes": list(classes)}]


BOX, FAR = [10.0, 20.0, 30.0, 40.0], [50.0, 60.0, 90.0, 95.0]


def test_detections_in_another_order_are_equal():
    entry = detection_differences(detections((BOX, 0.5, 1), (FAR, 0.5, 1)), detections((FAR, 0.5, 1), (BOX, 0.5, 1)))
    assert entry == {"equal": True, "detections": 2, "unpaired": 0, "max_pixels": 0.0, "max_score": 0.0}


def test_the_greatest_difference_of_pairs_is_found():
    moved = [10.0, 20.0, 30.0, 40.25]
    entry = detection_differences(detections((BOX, 0.5, 1), (FAR, 0.4, 2)), detections((moved, 0.75, 1), (FAR, 0.4, 2)))
    assert not entry["equal"] and entry["unpaired"] == 0
    assert entry["max_pixels"] == 0.25 and entry["max_score"] == 0.25


@pytest.mark.parametrize(
    "other",
    [
        detections((BOX, 0.5, 3), (FAR, 0.4, 2)),  # another class
        detections(([10.0, 20.0, 30.0, 42.0], 0.5, 1), (FAR, 0.4, 2)),  # farther than a pixel
        detections((FAR, 0.4, 2)),  # one is missing
    ],
)
def test_a_detection_without_a_partner_is_counted(other):
    entry = detection_differences(detections((BOX, 0.5, 1), (FAR, 0.4, 2)), other)
    assert entry["unpaired"] == 1 and entry["detections"] == 2 and not entry["equal"]
    assert entry["max_pixels"] == 0.0


def test_no_detections_are_equal():
    assert detection_differences(detections(), detections())["equal"]
