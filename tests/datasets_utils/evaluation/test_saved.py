"""Detections that are written to a file and read back."""

import numpy as np
import pytest

from datasets_utils import CocoStyleEvaluator
from datasets_utils.evaluation.saved import SavedDetections
from tests.datasets_utils.evaluation import evaluation_case as case


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_what_is_read_is_what_was_written_and_scores_the_same(tmp_path, masks):
    with case.registered(tmp_path, case.ground_truth()) as name:
        evaluator = CocoStyleEvaluator(name, max_dets=50)
        evaluator.reset()
        assert evaluator.saved_detections({}) is None
        for inputs, outputs in case.predictions(masks=masks):
            evaluator.process([inputs], [outputs])
        results = evaluator.evaluate()
        evaluator.saved_detections({"checkpoint": "a.pth"}).save(tmp_path / "detections.npz")
        saved = SavedDetections.load(tmp_path / "detections.npz")
        tasks = {
            task: evaluator.backends["hotcoco"](saved.scored.json_file).score(saved.table, task, saved.scored.max_dets)
            for task in results
        }
    assert saved.facts == {"checkpoint": "a.pth"}
    assert (saved.scored.dataset, saved.scored.style, saved.scored.max_dets) == (name, "coco", 50)
    assert tuple(saved.scored.category_ids) == case.CATEGORY_IDS and tuple(saved.scored.class_names) == case.NAMES
    for column, values in vars(evaluator.detections).items():
        np.testing.assert_array_equal(getattr(saved.table, column), values)
    for task, scores in tasks.items():
        assert scores.summary["AP"] * 100 == results[task]["AP"]


def test_another_file_is_refused_by_its_name(tmp_path):
    for content in (b"", b"no archive"):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(ValueError, match="other.npz' holds no detections"):
            SavedDetections.load(tmp_path / "other.npz")
