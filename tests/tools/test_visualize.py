import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from PIL import Image

from datasets_utils import DetrDatasetMapper
from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes
from datasets_utils.register import CLASS_NAMES, register_digit_scenes
from tools.visualize import denoising_steps, detections_beside_ground_truth, training_curves

MAPPER = DetrDatasetMapper([], None, is_train=False)
NUM_QUERIES = 60


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures") / "digit_scenes"
    build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=5, crowded_fraction=0.4))
    register_digit_scenes(root)
    yield DatasetCatalog.get("digit_scenes_val")
    register_digit_scenes()


class FakeDetector(torch.nn.Module):
    """Moves random boxes to the annotated ones, with the structures of a diffusion detector."""

    def __init__(self, scenes):
        super().__init__()
        self.scenes = {s["image_id"]: s for s in scenes}
        self.was_training = []

    def forward(self, batched_inputs):
        self.was_training.append(self.training)
        last = self.trajectory(batched_inputs)[0][-1]
        scene = self.scenes[batched_inputs[0]["image_id"]]
        instances = Instances((scene["height"], scene["width"]))
        instances.pred_boxes = Boxes(last["pred_boxes"])
        instances.scores, instances.pred_classes = last["scores"], last["classes"]
        return [{"instances": instances}]

    def trajectory(self, batched_inputs):
        scene = self.scenes[batched_inputs[0]["image_id"]]
        draw = torch.Generator().manual_seed(scene["image_id"])
        truth = torch.tensor([a["bbox"] for a in scene["annotations"]], dtype=torch.float32)
        truth[:, 2:] += truth[:, :2]
        source = torch.arange(NUM_QUERIES) % len(truth)
        size = torch.tensor([scene["width"], scene["height"]] * 2)
        center, half = (torch.rand(NUM_QUERIES, 2, generator=draw) for _ in range(2))
        noise = torch.cat([center - half / 4, center + half / 4], -1) * size
        classes = torch.tensor([a["category_id"] for a in scene["annotations"]])[source]
        passes = []
        for t, share in ((999, 0.0), (666, 0.6), (333, 0.9)):
            scores = torch.rand(NUM_QUERIES, generator=draw) * 0.3
            scores[: len(truth)] += share * 0.7
            boxes = noise + share * (truth[source] - noise)
            pred_boxes = boxes + 0.7 * (truth[source] - boxes)
            passes.append({"t": t, "boxes": boxes, "pred_boxes": pred_boxes, "scores": scores, "classes": classes})
        return [passes]


@pytest.fixture
def model(scenes):
    return FakeDetector(scenes).train()


def assert_picture(path, min_width, min_height):
    with Image.open(path) as picture:
        assert picture.width >= min_width and picture.height >= min_height
        assert np.asarray(picture.convert("L")).std() > 20


@pytest.mark.parametrize("num_scenes", [1, 4, 50])
def test_detections_stand_beside_ground_truth(scenes, model, tmp_path, num_scenes):
    path = detections_beside_ground_truth(
        model, scenes, MAPPER, tmp_path / "new" / "detections.png", class_names=CLASS_NAMES, num_scenes=num_scenes
    )
    assert_picture(path, 600, 300)
    # Drawn in evaluation mode, left in the mode it came in.
    assert model.was_training == [False] * min(num_scenes, len(scenes)) and model.training


def test_no_detection_above_the_threshold_is_drawn_as_none(scenes, model, tmp_path):
    path = tmp_path / "none.png"
    detections_beside_ground_truth(
        model, scenes, MAPPER, path, class_names=CLASS_NAMES, num_scenes=1, score_threshold=2.0
    )
    assert_picture(path, 600, 300)


def test_nothing_to_draw_is_an_error(model, tmp_path):
    with pytest.raises(ValueError, match="0 scenes"):
        detections_beside_ground_truth(model, [], MAPPER, tmp_path / "x.png", class_names=CLASS_NAMES)


def test_denoising_has_a_column_per_pass(scenes, model, tmp_path):
    path = denoising_steps(model, scenes[0], MAPPER, tmp_path / "denoising.png", class_names=CLASS_NAMES)
    assert_picture(path, 1200, 600)
    assert model.training


def write_metrics(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_training_curves_show_loss_and_precision(tmp_path):
    records = [{"iteration": i, "total_loss": 40 * 0.998**i + 5, "lr": 1e-4} for i in range(0, 1600, 20)]
    records += [{"iteration": i, "bbox/AP": ap} for i, ap in ((399, 13.6), (799, 37.2), (1199, 49.0), (1599, 56.7))]
    assert_picture(training_curves(write_metrics(tmp_path / "m.json", records), tmp_path / "curves.png"), 1000, 400)


def test_training_curves_without_evaluation_show_the_loss(tmp_path):
    records = [{"iteration": 0, "total_loss": 3.0}, {"iteration": 0, "total_loss": 2.0, "bbox/AP": float("nan")}]
    assert training_curves(write_metrics(tmp_path / "m.json", records), tmp_path / "curves.png").is_file()


def test_a_file_without_losses_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no total_loss"):
        training_curves(write_metrics(tmp_path / "m.json", [{"iteration": 1}]), tmp_path / "curves.png")
