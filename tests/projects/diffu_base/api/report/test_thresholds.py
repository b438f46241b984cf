"""The best threshold of a class, by hand and against hotcoco's own F1."""

import numpy as np
import pytest

from datasets_utils.evaluation.detections import DetectionTable
from datasets_utils.evaluation.saved import SavedDetections
from projects.diffu_base.api.report.measures import Measures
from projects.diffu_base.api.report.thresholds import GRID, class_curves, overall
from tests.support.report_case import write_case


def curve_of(scores, status, objects):
    """The curve of one class, whose detections have these scores and hotcoco's verdicts."""
    count = len(scores)
    columns = (np.zeros(count, int), np.zeros((count, 4)), np.array(scores, np.float32), np.full(count, 7, np.int32))
    verdicts = {
        "dt_status": {row + 1: verdict for row, verdict in enumerate(status)},
        "gt_status": {id: "matched" if id < 1 else "fn" for id in range(objects)},
    }
    (curve,) = class_curves(DetectionTable(*columns), verdicts, dict.fromkeys(range(objects), 7), [7])
    return curve


def test_best_threshold_lies_where_f1_is_highest():
    # F1 after each detection: 2/4, 4/5, 4/6, 4/7; the second is best. The first row counts for nothing.
    curve = curve_of([0.95, 0.9, 0.6, 0.5, 0.2], ["ignored", "tp", "tp", "fp", "fp"], objects=3)
    best = curve.best
    assert (best.f1, best.precision, best.recall) == pytest.approx((0.8, 1, 2 / 3))
    assert best.threshold == pytest.approx(0.55)  # half-way between 0.6 and 0.5
    on_grid = dict(zip(GRID.round(2).tolist(), curve.f1, strict=True))
    assert [on_grid[t] for t in (0.0, 0.2, 0.3, 0.55, 0.7, 0.93)] == pytest.approx([4 / 7, 4 / 7, 4 / 6, 0.8, 0.5, 0])


def test_equal_scores_are_not_parted():
    # Between the two of score 0.6, F1 would be 1.
    assert curve_of([0.6, 0.6], ["tp", "fp"], objects=1).best.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("scores", "status", "objects"), [([], [], 3), ([0.5], ["fp"], 3), ([0.5], ["fp"], 0), ([], [], 0)]
)
def test_without_a_correct_detection_there_is_no_best_threshold(scores, status, objects):
    curve = curve_of(scores, status, objects)
    assert curve.best is None and curve.objects == objects and not curve.f1.any()
    assert overall([curve])[1] == 0.5


def test_overall_is_the_mean_of_the_classes_that_have_objects():
    first, second = curve_of([0.8], ["tp"], 1), curve_of([0.4, 0.3], ["tp", "fp"], 1)
    mean, threshold = overall([first, second, curve_of([], [], 0)])
    np.testing.assert_allclose(mean, (first.f1 + second.f1) / 2)
    assert mean.max() == pytest.approx(1) and threshold == pytest.approx(0.31)


@pytest.mark.slow
@pytest.mark.parametrize("lvis", [False, True], ids=["coco", "lvis"])
def test_what_is_kept_fares_as_the_curves_say_by_hotcocos_count(tmp_path, lvis):
    measures = Measures(SavedDetections.load(write_case(tmp_path, lvis=lvis) / "detections.npz"))
    counted = measures.kept_diagnostics["img_summary"].values()
    correct = sum(image["tp"] for image in counted)
    bests = [curve for curve in measures.box_curves if curve.best]
    assert correct == sum(round(curve.best.recall * curve.objects) for curve in bests) > 10
    false = [round(curve.best.recall * curve.objects * (1 / curve.best.precision - 1)) for curve in bests]
    assert abs(sum(image["fp"] for image in counted) - sum(false)) <= len(measures.kept) * 0.1
    # hotcoco reads F1 off its curves at 101 recalls, so it is right to about a hundredth.
    numbers = measures.numbers("bbox")
    mean = np.mean([row["f1"] or 0 for row in numbers.classes if row["objects"]])
    assert numbers.metrics["F1"] == pytest.approx(mean, abs=0.03)
