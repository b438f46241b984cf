import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances

from datasets_utils.evaluation.detections import DetectionTable

CATEGORY_IDS = np.array([4, 9])


def instances(boxes, scores, classes, masks=None):
    result = Instances((6, 8), pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)), scores=torch.tensor(scores))
    result.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if masks is not None:
        result.pred_masks = masks
    return result


def of_image(image_id=7, masks=None):
    two = instances([[1.0, 2, 4, 6], [0, 0, 8, 1.5]], [0.25, 0.75], [1, 0], masks)
    return DetectionTable.from_instances(image_id, two, CATEGORY_IDS)


def test_boxes_become_corner_and_size_and_classes_the_data_sets_ids():
    expected = [[7, 1, 2, 3, 4, 0.25, 9], [7, 0, 0, 8, 1.5, 0.75, 4]]
    assert of_image().to_array().tolist() == expected
    assert of_image().to_dicts("bbox")[0] == {"image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4], "score": 0.25}


def test_masks_return_from_their_run_lengths():
    masks = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    detections = of_image(masks=masks)
    decoded = mask_util.decode(detections.run_lengths())
    np.testing.assert_array_equal(decoded.transpose(2, 0, 1), masks.numpy())
    added = detections.nbytes - of_image().nbytes
    assert added == sum(len(mask) for mask in detections.masks) + 2 * 49
    assert all("segmentation" in entry for entry in detections.to_dicts("bbox", "segmentation"))


def test_masks_that_are_not_there_are_an_error():
    with pytest.raises(ValueError, match="2 detections.*no masks"):
        of_image().run_lengths()


def test_the_highest_scores_are_kept_and_of_equal_ones_the_first():
    boxes = [[float(i), 0, 10, 10] for i in range(4)]
    masks = torch.eye(4, dtype=torch.bool)[..., None].expand(4, 4, 3)
    four = DetectionTable.from_instances(1, instances(boxes, [0.5, 0.9, 0.5, 0.5], [0] * 4, masks), CATEGORY_IDS)
    kept = four.highest(3)
    assert kept.boxes_xywh_abs[:, 0].tolist() == [1, 0, 2]
    assert mask_util.decode(kept.run_lengths())[:, 0].argmax(0).tolist() == [1, 0, 2]
    assert len(four.highest(9)) == 4


def test_parts_are_put_together_though_an_image_without_detections_has_no_masks():
    empty = DetectionTable.from_instances(3, instances([], [], []), CATEGORY_IDS)
    masks = torch.ones(2, 6, 8, dtype=torch.bool)
    together = DetectionTable.concatenate([empty, of_image(1, masks), of_image(2, masks)])
    assert together.image_ids.tolist() == [1, 1, 2, 2]
    assert len(together.run_lengths()) == 4
    assert len(DetectionTable.concatenate([empty, empty])) == 0


def test_nothing_of_the_models_outputs_is_kept_alive():
    detections = of_image()
    columns = (detections.image_ids, detections.boxes_xywh_abs, detections.scores, detections.category_ids)
    assert all(column.base is None for column in columns)
    assert detections.nbytes == 2 * 32


@pytest.mark.parametrize(
    ("boxes", "score", "class_id", "message"),
    [
        ([0.0, 0, float("nan"), 1], 0.5, 0, "image 5.*finite"),
        ([0.0, 0, 1, 1], float("inf"), 0, "image 5.*finite"),
        ([0.0, 0, 1, 1], 0.5, 2, "image 5.*2 to 2.*2 classes"),
        ([0.0, 0, 1, 1], 0.5, -1, "image 5.*-1 to -1"),
    ],
)
def test_impossible_detections_are_named(boxes, score, class_id, message):
    with pytest.raises(ValueError, match=message):
        DetectionTable.from_instances(5, instances([boxes], [score], [class_id]), CATEGORY_IDS)
