"""Noise on known boxes: in units of the image and of the box, by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.ldm.box_noise import ImageNoise, RelativeNoise
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion

# alphas_cumprod 0.64 and 0.16
DIFFUSION = GaussianDiffusion(torch.tensor([0.36, 0.75], dtype=torch.float64))
BOXES = torch.tensor([[[0.5, 0.5, 0.2, 0.1]], [[0.5, 0.5, 0.02, 0.01]]])
ONE = torch.ones(2, 1, 4)


def test_the_noise_of_the_forward_process_moves_small_boxes_as_far_as_large_ones():
    # The signal of 0.5 is 0: 0.8 · 0 + 0.6 · 1, in boxes (0.6 / 2 + 1) / 2.
    moved = ImageNoise()(BOXES, torch.tensor([0, 0]), ONE, DIFFUSION)
    assert_close(moved[..., :2], torch.full((2, 1, 2), 0.65))


def test_relative_noise_moves_a_box_in_units_of_its_half_sides_and_scales_it():
    moved = RelativeNoise(0.5)(BOXES, torch.tensor([0, 0]), ONE, DIFFUSION)
    sigma = 0.5 * 0.6
    for box, scale in ((moved[0, 0], 1.0), (moved[1, 0], 0.1)):
        expected = [0.5 + sigma * 0.1 * scale, 0.5 + sigma * 0.05 * scale]
        assert_close(box[:2], torch.tensor(expected))
        assert_close(box[2:], torch.tensor([0.2, 0.1]) * scale * math.exp(sigma))


def test_relative_noise_grows_with_the_image_s_own_time_and_stays_in_the_image():
    moved = RelativeNoise(1.0)(BOXES[:1].expand(2, -1, -1), torch.tensor([0, 1]), ONE, DIFFUSION)
    assert_close(moved[:, 0, 0] - 0.5, torch.tensor([0.6, math.sqrt(0.84)]) * 0.1)
    edge = RelativeNoise(1.0)(torch.tensor([[[0.99, 0.5, 0.9, 0.5]]]), torch.tensor([1]), ONE[:1], DIFFUSION)
    assert edge.max() == 1


def test_a_negative_scale_is_refused():
    with pytest.raises(ValueError, match="scale of RelativeNoise is -1"):
        RelativeNoise(-1)
