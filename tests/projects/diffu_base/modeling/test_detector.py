"""What every detector does with images and ground truth, and what it offers."""

from operator import attrgetter

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances
from torch.testing import assert_close

from layers_diffu_detr.checkpoint_names import CheckpointNames
from layers_diffu_detr.ldm.ddim import SinglePass
from projects.diffu_base.modeling.detector import Detector
from tests.support.tiny_models import ROOT

MODELS = sorted(ROOT.glob("projects/*/configs/models/*.py"))


def make_detector(**overrides) -> Detector:
    settings = dict(
        num_classes=7,
        num_boxes=3,
        sampler=SinglePass(),
        diffusion=None,
        select_box_nums_for_evaluation=5,
        pixel_mean=[10.0, 20.0, 30.0],
        pixel_std=[1.0, 2.0, 4.0],
        input_format="RGB",
    )
    return Detector(**{**settings, **overrides})


def instances(height=64, width=96, count=2, label=3):
    corners = torch.tensor([8.0, 8.0, 40.0, 56.0]).expand(count, -1)
    return Instances((height, width), gt_boxes=Boxes(corners), gt_classes=torch.full((count,), label))


# ---- images ----


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_channel_is_normalized_by_its_own_statistics(dtype):
    pixels = torch.tensor([12, 24, 38])[:, None, None].expand(3, 2, 5).to(dtype)
    (image,) = make_detector().preprocess([{"image": pixels}])
    assert_close(image, torch.tensor([2.0, 2.0, 2.0])[:, None, None].expand(3, 2, 5))


def test_the_order_of_channels_is_one_of_two():
    assert make_detector(input_format="BGR").input_format == "BGR"
    for wrong in ("rgb", "L", None):
        with pytest.raises(ValueError, match=f"model.input_format is {wrong!r}; allowed are RGB and BGR"):
            make_detector(input_format=wrong)


# ---- ground truth ----


def test_targets_are_normalized_by_their_image():
    inputs = [{"instances": instances(64, 96)}, {"instances": instances(128, 80, count=0)}]
    first, second = make_detector().prepare_targets(inputs)
    assert first["labels"].tolist() == [3, 3]
    assert_close(first["boxes"][0], torch.tensor([24 / 96, 32 / 64, 32 / 96, 48 / 64]))
    assert second["labels"].shape == (0,) and second["boxes"].shape == (0, 4)


def test_training_without_instances_is_refused():
    with pytest.raises(ValueError, match=r"training needs `instances` in every input; one has \['image', 'image_id'\]"):
        make_detector().prepare_targets([{"instances": instances()}, {"image": None, "image_id": 1}])


@pytest.mark.parametrize("label", [7, 80, -1])
def test_a_class_that_the_model_does_not_have_is_refused(label):
    with pytest.raises(ValueError, match=f"gt_classes has {label}; num_classes is 7"):
        make_detector().prepare_targets([{"instances": instances(label=label)}])


# ---- what models offer ----


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_offers_what_tools_engine_and_checkpoints_use(path):
    cfg = LazyConfig.load(str(path)).model
    with torch.device("meta"):
        model = instantiate(cfg)
    assert isinstance(model, Detector)
    assert model.num_boxes == cfg.get("num_queries", cfg.get("num_proposals"))
    assert model.sampler.needs_diffusion == (model.diffusion is not None)
    assert (model.noise_source([]) is None) == (model.diffusion is None)
    assert model.input_format == cfg.input_format
    assert {name.split(".")[0] for name in model.state_dict()} > {"backbone"}
    assert "loss_class" in model.criterion.weight_dict
    names = model.checkpoint_names()
    assert isinstance(names, CheckpointNames)
    for part in names.added_parts:
        attrgetter(part)(model)  # exists


def test_a_detector_s_own_checkpoints_have_its_names():
    assert make_detector().checkpoint_names() == CheckpointNames()
