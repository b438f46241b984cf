import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import Boxes, Instances

from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes
from datasets_utils.digit_scenes.lvis_format import LvisFormat
from datasets_utils.digit_scenes.scenes import compose_scene
from datasets_utils.register import register_digit_scenes

CONFIG = Path(__file__).parents[3] / "configs" / "common" / "data" / "digit_scenes_lvis.py"
WEIGHTS = (100, 100, 80, 60, 10, 10, 8, 1, 1, 1)
SETTINGS = DigitSceneSettings(
    num_train=60, num_val=8, train_class_weights=WEIGHTS, lvis=LvisFormat(rare=5, common=20), seed=1
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "digit_scenes_lvis"
    build_digit_scenes(root, SETTINGS)
    return root


@pytest.fixture
def registered(root):
    register_digit_scenes(root, lvis=True)
    yield
    register_digit_scenes(lvis=True)


@pytest.fixture
def contents(root):
    return {s: json.loads((root / "annotations" / f"instances_{s}.json").read_text()) for s in ("train", "val")}


def test_weights_make_a_tail_in_training_and_none_in_validation(contents):
    labels = {split: [a["category_id"] - 1 for a in content["annotations"]] for split, content in contents.items()}
    counts = np.bincount(labels["train"], minlength=10) / len(labels["train"])
    # About 430 digits: a share of 0.27 deviates by 0.021.
    np.testing.assert_allclose(counts, np.divide(WEIGHTS, sum(WEIGHTS)), atol=0.08)
    assert set(labels["val"]) == set(range(10))


def test_categories_count_training_images_in_both_files(contents):
    pairs = {(a["category_id"], a["image_id"]) for a in contents["train"]["annotations"]}
    images = Counter(category_id for category_id, _ in pairs)
    for category in contents["val"]["categories"]:
        assert category["image_count"] == images[category["id"]]
        letter = "r" if category["image_count"] <= 5 else "c" if category["image_count"] <= 20 else "f"
        assert category["frequency"] == letter
    assert {category["frequency"] for category in contents["val"]["categories"]} == {"r", "c", "f"}
    assert contents["val"]["categories"] == contents["train"]["categories"]


def test_images_say_which_classes_are_absent_and_which_incomplete(contents):
    held = {(a["image_id"], a["category_id"]) for a in contents["train"]["annotations"]}
    images = contents["train"]["images"]
    negatives = [(image["id"], id_) for image in images for id_ in image["neg_category_ids"]]
    incomplete = [(image["id"], id_) for image in images for id_ in image["not_exhaustive_category_ids"]]
    assert not held & set(negatives) and set(incomplete) <= held
    # Shares of about 350 pairs: half with a deviation of 0.027, a tenth with one of 0.02.
    assert len(negatives) / (10 * len(images) - len(held)) == pytest.approx(0.5, abs=0.1)
    assert len(incomplete) / len(held) == pytest.approx(0.1, abs=0.07)


def test_scenes_without_weights_are_what_they_were():
    plain = compose_scene(DigitSceneSettings(seed=2), "train", 3)
    with_fields = compose_scene(DigitSceneSettings(seed=2, lvis=LvisFormat()), "train", 3)
    np.testing.assert_array_equal(plain.image, with_fields.image)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rare": 20, "common": 10}, "rare.*20.*common.*10"),
        ({"absent_share": 1.2}, "absent_share.*1.2.*between 0 and 1"),
        ({"open_share": -0.1}, "open_share.*-0.1"),
    ],
)
def test_impossible_fields_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        LvisFormat(**wrong)


def test_frequencies_are_those_of_lvis():
    assert [LvisFormat().frequency(count) for count in (0, 10, 11, 100, 101)] == ["r", "r", "c", "c", "f"]


def test_rare_digits_are_repeated_by_the_loader(registered, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    loader = instantiate(LazyConfig.load(str(CONFIG)).dataloader.train)
    factors = loader.batch_sampler.stream.repeat_factors
    dataset = DatasetCatalog.get("digit_scenes_lvis_train")
    with_rare = [i for i, image in enumerate(dataset) if any(a["category_id"] >= 7 for a in image["annotations"])]
    assert factors[with_rare].min() > 1.0 and np.median(factors) == 1.0


class NoisyGroundTruth(torch.nn.Module):
    """Answers with the annotations, some moved, some under another class, and some of nothing."""

    def __init__(self, scenes):
        super().__init__()
        self.scenes = {scene["image_id"]: scene for scene in scenes}

    def forward(self, batched_inputs):
        return [{"instances": self.detect(self.scenes[inputs["image_id"]])} for inputs in batched_inputs]

    def detect(self, scene):
        rng = np.random.default_rng(scene["image_id"])
        boxes = np.array([a["bbox"] for a in scene["annotations"]], dtype=np.float32)
        labels = np.array([a["category_id"] for a in scene["annotations"]])
        boxes = np.concatenate([boxes + rng.normal(0, 1.5, boxes.shape), boxes + rng.normal(0, 6, boxes.shape)])
        other = rng.integers(0, 10, len(labels))
        instances = Instances((scene["height"], scene["width"]))
        boxes[:, 2:] = boxes[:, :2] + np.maximum(boxes[:, 2:], 1)
        instances.pred_boxes = Boxes(torch.from_numpy(boxes.astype(np.float32)))
        instances.scores = torch.from_numpy(rng.random(len(boxes)).astype(np.float32))
        instances.pred_classes = torch.from_numpy(np.concatenate([labels, other]))
        return instances


def test_rare_common_and_frequent_agree_with_the_lvis_package(registered, monkeypatch, tmp_path):
    """The config's evaluator against the lvis package, run by hand on the detections that the evaluator wrote."""
    lvis = pytest.importorskip("lvis", exc_type=ImportError)  # it needs OpenCV, and that libraries of the system
    monkeypatch.chdir(tmp_path)
    dataloader = LazyConfig.load(str(CONFIG)).dataloader
    dataloader.evaluator.output_dir = str(tmp_path)
    model = NoisyGroundTruth(DatasetCatalog.get("digit_scenes_lvis_val"))
    results = inference_on_dataset(model, instantiate(dataloader.test), instantiate(dataloader.evaluator))["bbox"]

    monkeypatch.setattr(np, "float", float, raising=False)  # lvis 0.5.3 knows no newer NumPy
    ground_truth = lvis.LVIS(MetadataCatalog.get("digit_scenes_lvis_val").json_file)
    detections = lvis.LVISResults(ground_truth, str(tmp_path / "lvis_instances_results.json"), max_dets=300)
    by_hand = lvis.LVISEval(ground_truth, detections, "bbox")
    by_hand.run()
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APr", "APc", "APf"):
        assert results[name] == pytest.approx(100 * by_hand.results[name], abs=1e-6)
        assert 5 < results[name] < 95
    assert len({results[name] for name in ("APr", "APc", "APf")}) == 3
