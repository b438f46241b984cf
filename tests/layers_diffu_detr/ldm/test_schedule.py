"""Noise schedules against diffusers and values by hand."""

import math

import pytest
import torch
from diffusers import DDIMScheduler
from torch.testing import assert_close

from layers_diffu_detr.ldm.schedule import cosine_betas, linear_betas, sqrt_betas, sqrt_linear_betas

SCHEDULES = [cosine_betas, linear_betas, sqrt_linear_betas, sqrt_betas]


@pytest.mark.parametrize("num_timesteps", [100, 1000])
@pytest.mark.parametrize(
    ("schedule", "diffusers_name"),
    [(cosine_betas, "squaredcos_cap_v2"), (linear_betas, "scaled_linear"), (sqrt_linear_betas, "linear")],
)
def test_betas_equal_diffusers(schedule, diffusers_name, num_timesteps):
    theirs = DDIMScheduler(num_timesteps, beta_start=1e-4, beta_end=2e-2, beta_schedule=diffusers_name).betas
    assert_close(schedule(num_timesteps).float(), theirs, rtol=1e-5, atol=1e-8)


def test_cosine_betas_by_hand():
    # T = 2: alphas_cumprod at t/T = 0, 1/2, 1; the last is cos²(π/2) = 0, so its beta is cut at 0.999.
    start, middle = (math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2 for time in (0, 0.5))
    assert_close(cosine_betas(2), torch.tensor([1 - middle / start, 0.999], dtype=torch.float64))


def test_linear_schedules_by_hand():
    ends = {"start": 0.01, "end": 0.25}
    assert_close(linear_betas(3, **ends), torch.tensor([0.01, 0.09, 0.25], dtype=torch.float64))  # (0.1, 0.3, 0.5)²
    assert_close(sqrt_linear_betas(3, **ends), torch.tensor([0.01, 0.13, 0.25], dtype=torch.float64))
    assert_close(sqrt_betas(3, **ends), torch.tensor([0.1, 0.13**0.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_timesteps", [1, 100, 1000])
def test_betas_are_probabilities_in_double_precision(schedule, num_timesteps):
    betas = schedule(num_timesteps)
    assert betas.shape == (num_timesteps,) and betas.dtype == torch.float64
    assert (betas > 0).all() and (betas < 1).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_without_timesteps_is_refused(schedule):
    with pytest.raises(ValueError, match="num_timesteps is 0"):
        schedule(0)
