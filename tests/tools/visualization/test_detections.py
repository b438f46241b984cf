import copy

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from datasets_utils.register import CLASS_NAMES
from tests.tools.pictures import MAPPER, assert_picture, pixels
from tools.visualization.detections import detections_beside_ground_truth
from tools.visualization.drawing import annotated_masks


class FakeDetector(torch.nn.Module):
    """Finds what is annotated, with masks if it is told to."""

    def __init__(self, scenes, with_masks=False):
        super().__init__()
        self.scenes, self.with_masks = {s["image_id"]: s for s in scenes}, with_masks
        self.was_training = []

    def forward(self, batched_inputs):
        self.was_training.append(self.training)
        scene = self.scenes[batched_inputs[0]["image_id"]]
        boxes = torch.tensor([a["bbox"] for a in scene["annotations"]], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances((scene["height"], scene["width"]), pred_boxes=Boxes(boxes))
        instances.scores = torch.linspace(0.9, 0.5, len(boxes))
        instances.pred_classes = torch.tensor([a["category_id"] for a in scene["annotations"]])
        if self.with_masks:
            instances.pred_masks = torch.tensor(annotated_masks(scene["annotations"], scene))
        return [{"instances": instances}]


@pytest.fixture
def model(scenes):
    return FakeDetector(scenes).train()


@pytest.mark.parametrize("num_scenes", [1, 4, 50])
def test_detections_stand_beside_ground_truth(scenes, model, tmp_path, num_scenes):
    path = detections_beside_ground_truth(
        model, scenes, MAPPER, tmp_path / "new" / "detections.png", class_names=CLASS_NAMES, num_scenes=num_scenes
    )
    assert_picture(path, 600, 300)
    # Drawn in evaluation mode, left in the mode it came in.
    assert model.was_training == [False] * min(num_scenes, len(scenes)) and model.training


def test_masks_are_drawn_on_both_sides_where_the_model_has_them(scenes, model, tmp_path):
    halves = {}
    for name, detector in (("boxes", model), ("masks", FakeDetector(scenes, with_masks=True))):
        path = tmp_path / f"{name}.png"
        detections_beside_ground_truth(detector, scenes, MAPPER, path, class_names=CLASS_NAMES, num_scenes=1)
        halves[name] = np.array_split(pixels(path).astype(int), 2, axis=1)
    for without, with_masks in zip(halves["boxes"], halves["masks"], strict=True):
        assert (np.abs(with_masks - without).sum(-1) > 30).mean() > 0.02


def test_ground_truth_without_masks_is_drawn_beside_a_model_with_masks(scenes, tmp_path):
    bare = copy.deepcopy(scenes[:1])
    for annotation in bare[0]["annotations"]:
        del annotation["segmentation"]
    detector, path = FakeDetector(scenes, with_masks=True), tmp_path / "bare.png"
    detections_beside_ground_truth(detector, bare, MAPPER, path, class_names=CLASS_NAMES, num_scenes=1)
    assert_picture(path, 600, 300)


@pytest.mark.parametrize("with_masks", [False, True])
def test_no_detection_above_the_threshold_is_drawn_as_none(scenes, tmp_path, with_masks):
    detector, path = FakeDetector(scenes, with_masks), tmp_path / "none.png"
    detections_beside_ground_truth(
        detector, scenes, MAPPER, path, class_names=CLASS_NAMES, num_scenes=1, score_threshold=2.0
    )
    assert_picture(path, 600, 300)


def test_nothing_to_draw_is_an_error(model, tmp_path):
    with pytest.raises(ValueError, match="0 scenes"):
        detections_beside_ground_truth(model, [], MAPPER, tmp_path / "x.png", class_names=CLASS_NAMES)
