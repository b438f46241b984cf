"""The forward process against diffusers, the map between boxes and signal by hand."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch.testing import assert_close

from layers_diffu_detr.ldm.diffusion import BetaNoise, GaussianDiffusion, GaussianNoise, SigmoidNoise
from layers_diffu_detr.ldm.schedule import cosine_betas, sqrt_linear_betas

CPU = torch.device("cpu")


def test_boxes_and_signal_by_hand():
    diffusion = GaussianDiffusion(cosine_betas(100), signal_scale=2.0)
    boxes, signal = torch.tensor([[0.0, 0.25, 0.5, 1.0]]), torch.tensor([[-2.0, -1.0, 0.0, 2.0]])
    assert_close(diffusion.boxes_to_signal(boxes), signal)
    assert_close(diffusion.signal_to_boxes(signal), boxes)


def test_what_lies_outside_is_clamped_both_ways():
    diffusion = GaussianDiffusion(cosine_betas(100), signal_scale=2.0)
    outside = torch.tensor([-7.0, 7.0])
    assert_close(diffusion.boxes_to_signal(outside), torch.tensor([-2.0, 2.0]))
    assert_close(diffusion.signal_to_boxes(outside), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("betas", [cosine_betas(100), sqrt_linear_betas(1000)])
def test_q_sample_equals_diffusers_with_a_time_per_image(betas):
    diffusion = GaussianDiffusion(betas)
    signal, noise = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    t = torch.tensor([0, 42, len(betas) - 1])
    theirs = DDIMScheduler(len(betas), trained_betas=betas.float().numpy()).add_noise(signal, noise, t)
    assert_close(diffusion.q_sample(signal, t, noise), theirs, rtol=1e-4, atol=1e-5)


def test_predicted_noise_is_the_noise_that_was_added():
    diffusion = GaussianDiffusion(cosine_betas(100))
    signal, noise, t = torch.randn(2, 5, 4), torch.randn(2, 5, 4), torch.tensor([10, 60])
    assert_close(diffusion.predict_noise(diffusion.q_sample(signal, t, noise), t, signal), noise, rtol=1e-4, atol=1e-4)


def test_tables_are_computed_in_double_and_kept_in_single_precision_outside_the_state_dict():
    betas = cosine_betas(1000)
    diffusion = GaussianDiffusion(betas)
    assert all(buffer.dtype == torch.float32 for buffer in diffusion.buffers())
    assert_close(diffusion.alphas_cumprod, torch.cumprod(1 - betas, 0).float(), rtol=0, atol=0)
    assert diffusion.num_timesteps == 1000
    assert not diffusion.state_dict()


@pytest.mark.parametrize(
    ("noise", "variance", "bound"),
    # Var of sigmoid(z) is 0.0434 (numerically), stretched by 4; of Beta(2, 2) 1/20, stretched by 4.
    [(GaussianNoise(), 1.0, float("inf")), (SigmoidNoise(), 0.0434 * 16, 2.0), (BetaNoise(), 16 / 20, 2.0)],
)
def test_noise_is_centred_within_its_range_and_reproducible(noise, variance, bound):
    def draw():
        return noise((20000, 4), CPU, torch.Generator().manual_seed(0))

    sample = draw()
    assert sample.shape == (20000, 4) and sample.dtype == torch.float32
    assert sample.abs().max() < bound
    assert abs(sample.mean().item()) < 0.02
    assert abs(sample.var().item() / variance - 1) < 0.02
    assert torch.equal(sample, draw())


@pytest.mark.parametrize("noise", [GaussianNoise(), SigmoidNoise(), BetaNoise()])
def test_without_a_generator_noise_comes_from_the_global_one(noise):
    diffusion = GaussianDiffusion(cosine_betas(10), noise=noise)
    torch.manual_seed(3)
    first = diffusion.sample_noise((2, 4), CPU)
    torch.manual_seed(3)
    assert torch.equal(first, diffusion.sample_noise((2, 4), CPU))
    assert not torch.equal(first, diffusion.sample_noise((2, 4), CPU))


def test_a_signal_without_width_is_refused():
    with pytest.raises(ValueError, match="signal_scale is 0"):
        GaussianDiffusion(cosine_betas(10), signal_scale=0)
