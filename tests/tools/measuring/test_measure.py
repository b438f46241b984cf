"""Sizes, images and decoder evaluations of the measuring tools."""

import argparse

import pytest
import torch

from tests.support.tiny_models import tiny_model
from tools.measuring.measure import (
    as_detector,
    checked_size,
    evaluations_to_measure,
    fill_zero_matrices,
    image_size,
    parse_arguments,
    random_images,
    table,
    with_targets,
)


def test_image_size_is_height_times_width():
    assert image_size("480x640") == (480, 640)


@pytest.mark.parametrize("text", ["480", "480x", "480*640", "x640", "-480x640", "480x640x3"])
def test_another_text_is_no_image_size(text):
    with pytest.raises(ValueError, match="is not of the form HEIGHTxWIDTH"):
        image_size(text)


def test_side_below_the_backbones_stride_is_refused():
    with pytest.raises(ValueError, match="image size 31x640: both sides"):
        checked_size((31, 640))


def test_images_depend_on_the_seed_alone():
    first, again, other = (random_images([(40, 50), (32, 64)], seed)[1]["image"] for seed in (0, 0, 1))
    assert first.shape == (3, 32, 64) and first.dtype == torch.uint8
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_diffusion_is_measured_at_the_papers_evaluations_unless_others_are_asked_for():
    model = tiny_model("diffu_dino_r50")
    assert evaluations_to_measure(model.diffusion, None) == [1, 3, 5]
    assert evaluations_to_measure(model.diffusion, [2]) == [2]


@pytest.mark.parametrize("number", [0, 100])
def test_evaluations_beyond_the_timesteps_are_refused(number):
    with pytest.raises(ValueError, match=f"--steps {number}: 100 timesteps allow 1 to 99"):
        evaluations_to_measure(tiny_model("diffu_dino_r50").diffusion, [1, number])


def test_a_baseline_has_one_evaluation():
    model = tiny_model("dino_r50")
    assert evaluations_to_measure(model.diffusion, None) == [1]
    with pytest.raises(ValueError, match="--steps 1 3: a model without diffusion"):
        evaluations_to_measure(model.diffusion, [1, 3])


def test_zero_matrices_are_filled_with_the_seeds_weights():
    models = [tiny_model("diffu_dino_r50") for _ in range(2)]
    head = "transformer.decoder.bbox_embed.0.layers.2.weight"
    assert not models[0].get_parameter(head).any()
    before = models[0].get_parameter("transformer.enc_output.weight").clone()
    state = torch.get_rng_state()
    for model in models:
        assert head in fill_zero_matrices(model, seed=3)
    torch.testing.assert_close(models[0].get_parameter(head), models[1].get_parameter(head), rtol=0, atol=0)
    assert models[0].get_parameter(head).std().item() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(models[0].get_parameter("transformer.enc_output.weight"), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_columns_of_a_table_are_aligned():
    lines = table([["part", "s"], ["encoder", "1.5"], ["rest", "10.25"]]).splitlines()
    assert [line.split() for line in lines[2:]] == [["encoder", "1.5"], ["rest", "10.25"]]
    assert len({len(line) for line in lines}) == 1 and lines[2].startswith("encoder ")


def test_targets_are_boxes_inside_the_image_of_known_classes_with_masks_that_fill_them():
    first, again = (with_targets(random_images([(64, 96), (96, 64)]), 20, num_classes=7, seed=1) for _ in range(2))
    for each, same in zip(first, again, strict=True):
        instances = each["instances"]
        boxes = instances.gt_boxes.tensor
        height, width = instances.image_size
        assert len(boxes) == 20 and (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        assert set(instances.gt_classes.tolist()) <= set(range(7))
        assert torch.equal(boxes, same["instances"].gt_boxes.tensor)
        torch.testing.assert_close(instances.gt_masks.area(), instances.gt_boxes.area(), check_dtype=False)


def test_a_model_that_is_no_detector_is_refused():
    model = tiny_model("dino_r50")
    assert as_detector(model) is model
    with pytest.raises(ValueError, match="Linear"):
        as_detector(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("arguments", "steps", "name", "opts"),
    [
        (["--steps", "1", "3", "a.b=1", "c=2"], [1, 3], None, ["a.b=1", "c=2"]),
        (["a.b=1", "--steps", "1"], [1], None, ["a.b=1"]),
        (["--steps", "1", "--name", "x=y"], [1], "x=y", []),
        (["--steps", "1", "--name", "x=y", "a.b=1"], [1], "x=y", ["a.b=1"]),
        (["--name=x", "a.b=1"], None, "x", ["a.b=1"]),
        ([], None, None, []),
    ],
)
def test_overrides_may_follow_an_option_of_many_values(arguments, steps, name, opts):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--name")
    parser.add_argument("opts", nargs="*")
    args = parse_arguments(parser, arguments)
    assert (args.steps, args.name, args.opts) == (steps, name, opts)
