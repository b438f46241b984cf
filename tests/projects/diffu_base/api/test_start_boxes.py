"""Denoising boxes that a person has."""

import numpy as np
import pytest
import torch

from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.schedule import cosine_betas
from projects.diffu_base.api.settings import Settings
from projects.diffu_base.api.start_boxes import GivenStart, boxes_of, checked
from tests.support.tiny_models import tiny_model

GIVEN = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.2, 0.3, 0.1, 0.1]])


def test_the_first_queries_are_the_given_boxes_and_the_others_noise():
    diffusion = GaussianDiffusion(cosine_betas(100))
    draw = NoiseSource(diffusion, (1, 5, 4), torch.device("cpu"), seeds=[0])
    proposals = torch.tensor(
        [[[0.9, 0.9, 0.1, 0.1], [0.2, 0.3, 0.1, 0.12], [0.5, 0.5, 0.2, 0.2], [0.1] * 4, [0.6] * 4]]
    )
    x_t, queries = GivenStart(GIVEN)(25, diffusion=diffusion, draw=draw, proposals=proposals)
    torch.testing.assert_close(diffusion.signal_to_boxes(x_t)[0, :2], GIVEN)
    torch.testing.assert_close(queries.boxes[0, :2], GIVEN)
    assert queries.source.tolist() == [[2, 1, 2, 3, 4]]  # the content of the proposals that fit best
    noise = NoiseSource(diffusion, (1, 5, 4), torch.device("cpu"), seeds=[0])()
    assert torch.equal(x_t[0, 2:], noise[0, 2:])


def test_without_proposals_each_query_keeps_its_content():
    diffusion = GaussianDiffusion(cosine_betas(100))
    draw = NoiseSource(diffusion, (1, 3, 4), torch.device("cpu"), seeds=[0])
    _, queries = GivenStart(GIVEN)(25, diffusion=diffusion, draw=draw, proposals=None)
    assert queries.source is None


def test_boxes_come_from_an_array_a_list_or_by_name():
    box = np.array([[1, 2, 3, 4]])
    assert boxes_of(box, 0, "a.jpg").tolist() == boxes_of([[], box], 1, "a.jpg").tolist() == [[1, 2, 3, 4]]
    assert boxes_of({"a.jpg": box}, 7, "photos/a.jpg").tolist() == [[1, 2, 3, 4]]
    assert boxes_of([[]], 0, "a.jpg").shape == (0, 4)


@pytest.mark.parametrize(
    ("start_boxes", "message"),
    [
        ({"b.jpg": []}, "start_boxes has no entry for 'a.jpg'"),
        ([[]], "start_boxes has boxes for 1 images; a.jpg is image 2"),
        ([[], [[1, 2, 3]]], r"start_boxes of a.jpg have the shape \(1, 3\); they must be \(N, 4\)"),
        ([[], [[5, 2, 3, 4]]], "each must be x1, y1, x2, y2 with x1 < x2"),
        ([[], [[1, 2, float("nan"), 4]]], "each must be x1"),
    ],
)
def test_wrong_boxes_are_named(start_boxes, message):
    with pytest.raises(ValueError, match=message):
        boxes_of(start_boxes, 1, "a.jpg")


def test_checked_boxes_are_an_array():
    assert checked([[1, 2, 3, 4]], "a").dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_boxes": [[]], "draws": 2}, "draws is 2; with tiles or start_boxes there is one draw"),
        ({"tiles": 300, "draws": 2}, "draws is 2; with tiles"),
        ({"tiles": 300, "start_boxes": [[]]}, "start_boxes and tiles exclude each other"),
        ({"tiles": 0}, "tiles is 0"),
    ],
)
def test_settings_that_exclude_each_other(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings).check(tiny_model("diffu_dino_r50"))


def test_a_baseline_denoises_nothing():
    with pytest.raises(ValueError, match="start_boxes are denoised, but this model has no diffusion"):
        Settings(start_boxes=[[]]).check(tiny_model("dino_r50"))
