"""Kinds of error: by hand, and counted as TIDE counts them."""

from collections import Counter

import numpy as np
import pytest

from datasets_utils.evaluation.detections import DetectionTable
from datasets_utils.evaluation.saved import SavedDetections
from projects.diffu_base.api.report.errors import KINDS, kinds_in_image
from projects.diffu_base.api.report.measures import Measures
from tests.support.report_case import write_case


def test_each_kind_by_hand():
    annotations = [
        {"bbox": [0, 0, 10, 10], "category_id": 1},
        {"bbox": [50, 50, 10, 10], "category_id": 2},
        {"bbox": [80, 80, 10, 10], "category_id": 1, "iscrowd": 1},
    ]
    boxes = {
        "correct": ([0, 0, 10, 10], 1, 1),
        "duplicate": ([0, 0, 10, 9], 1, 0),
        "poor box": ([0, 0, 10, 3], 1, 0),
        "wrong class": ([50, 50, 10, 9], 1, 0),
        "wrong class and poor box": ([50, 50, 10, 3], 1, 0),
        "nothing there": ([30, 0, 10, 10], 1, 0),
        "not counted": ([80, 80, 10, 10], 1, -1),
    }
    table = DetectionTable(
        np.zeros(len(boxes), int),
        np.array([box for box, _, _ in boxes.values()], np.float32),
        np.ones(len(boxes), np.float32),
        np.array([category for _, category, _ in boxes.values()], np.int32),
    )
    kinds = kinds_in_image(table, np.array([correct for _, _, correct in boxes.values()]), annotations)
    assert [KINDS[kind].name for kind in kinds] == list(boxes)


def test_without_objects_every_false_detection_is_on_the_background():
    table = DetectionTable(np.zeros(1, int), np.ones((1, 4), np.float32), np.ones(1), np.ones(1, np.int32))
    assert [KINDS[kind].name for kind in kinds_in_image(table, np.zeros(1), [])] == ["nothing there"]


@pytest.mark.slow
def test_kinds_are_counted_as_hotcoco_counts_them(tmp_path):
    measures = Measures(SavedDetections.load(write_case(tmp_path) / "detections.npz"))
    kinds = Counter()
    for image_id, annotations in measures.annotations.items():
        rows = np.flatnonzero(measures.kept.image_ids == image_id)
        found = kinds_in_image(measures.kept.select(rows), measures.kept_correct[rows], annotations)
        kinds.update(KINDS[kind].tide for kind in found)
    counts = measures.evaluation(measures.kept, "bbox").tide_errors()["counts"]
    assert {name: kinds[name] for name in counts if name != "Miss"} == {
        name: count for name, count in counts.items() if name != "Miss"
    }
    assert sum(kinds.values()) == len(measures.kept) and len(kinds) > 4
