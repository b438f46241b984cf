"""DDIM: times, one step (against diffusers and by hand), renewal, the sampler's draws."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch.testing import assert_close

from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate, FreshNoise, ReleasedUpdate
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.ensemble import AllButLastPass, AllPasses, LastPass
from layers_diffu_detr.ldm.passes import PassPrediction
from layers_diffu_detr.ldm.renewal import FixedRenewal, TimeRenewal
from layers_diffu_detr.ldm.schedule import cosine_betas, linear_betas, sqrt_betas, sqrt_linear_betas
from layers_diffu_detr.ldm.times import ddim_times

CPU = torch.device("cpu")


def fail_to_draw():
    raise AssertionError("a deterministic step drew noise")


def noise_source(diffusion, batch=2, queries=5, seeds=None):
    return NoiseSource(diffusion, (batch, queries, 4), CPU, seeds)


class Recorder:
    """A denoiser that predicts fixed boxes and confidences, and remembers what it saw."""

    def __init__(self, confidence=0.5):
        self.confidence, self.boxes, self.times = confidence, [], []

    def __call__(self, queries, t):
        boxes = queries.boxes
        self.boxes.append(boxes)
        self.times.append(t.tolist())
        return PassPrediction(torch.full_like(boxes, 0.4), torch.full(boxes.shape[:2], self.confidence), None)


# ---- times ----


def test_three_steps_of_a_hundred_end_at_zero():
    assert ddim_times(100, 3) == [(99, 66), (66, 33), (33, 0)]
    assert ddim_times(100, 1) == [(99, 0)]


def test_the_chain_of_diffusion_inst_ends_at_minus_one():
    assert ddim_times(1000, 1, last=-1) == [(999, -1)]
    assert ddim_times(1000, 4, last=-1) == [(999, 749), (749, 499), (499, 249), (249, -1)]


@pytest.mark.parametrize("last", [0, -1])
@pytest.mark.parametrize("num_timesteps", [50, 100, 1000])
def test_times_fall_strictly_and_join_up(num_timesteps, last):
    for num_steps in range(1, num_timesteps - last):
        times = ddim_times(num_timesteps, num_steps, last)
        assert len(times) == num_steps
        assert times[0][0] == num_timesteps - 1 and times[-1][1] == last
        assert all(t > t_next for t, t_next in times)
        assert all(times[i][1] == times[i + 1][0] for i in range(num_steps - 1))


@pytest.mark.parametrize("num_steps", [0, -1, 100, 2.5, "3"])
def test_a_number_of_steps_that_the_timesteps_do_not_allow_is_refused(num_steps):
    with pytest.raises(ValueError, match=rf"num_steps is '?{num_steps}'?; 100 timesteps allow 1 to 99"):
        ddim_times(100, num_steps)
    assert len(ddim_times(100, 100, last=-1)) == 100


# ---- one step ----


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    ("betas", "num_steps", "last"),
    [(cosine_betas(100), 3, 0), (cosine_betas(1000), 4, -1), (linear_betas(1000), 4, -1)],
)
def test_a_chain_of_steps_equals_diffusers(betas, num_steps, last, eta):
    torch.manual_seed(0)
    diffusion = GaussianDiffusion(betas)
    scheduler = DDIMScheduler(
        len(betas),
        trained_betas=betas.float().numpy(),
        prediction_type="sample",
        clip_sample=True,
        clip_sample_range=2.0,
    )
    scheduler.set_timesteps(num_steps)
    x_t = theirs = torch.randn(2, 5, 4)
    for t, t_next in ddim_times(len(betas), num_steps, last):
        assert t - len(betas) // num_steps == t_next  # diffusers computes its own t_next, which must be the same
        boxes_start, z = torch.rand(2, 5, 4) * 1.4 - 0.2, torch.randn(2, 5, 4)  # the step clips some boxes
        x_start = (boxes_start * 2 - 1) * 2
        step = scheduler.step(x_start, t, theirs, eta=eta, use_clipped_model_output=True, variance_noise=z)
        x_t = DDIMUpdate(eta)(diffusion, x_t, boxes_start, t, t_next, draw=lambda z=z: z)
        theirs = step.prev_sample
        assert_close(x_t, theirs, rtol=1e-3, atol=1e-3)


def test_a_step_by_hand():
    # alphas_cumprod 0.64 and 0.16; from t = 1 to 0: eps = (1 / 0.4 - 1) / sqrt(1 / 0.16 - 1), box 0.75 is signal 1.
    diffusion = GaussianDiffusion(torch.tensor([0.36, 0.75], dtype=torch.float64))
    x_t, boxes = torch.ones(1, 1, 4), torch.full((1, 1, 4), 0.75)
    eps = 1.5 / 5.25**0.5
    expected = torch.full((1, 1, 4), 0.8 * 1 + 0.6 * eps)
    assert_close(DDIMUpdate()(diffusion, x_t, boxes, 1, 0, draw=fail_to_draw), expected)
    # The released update multiplies sqrt(alphas_cumprod) with the box itself.
    expected = torch.full((1, 1, 4), 0.8 * 0.75 + 0.6 * eps)
    assert_close(ReleasedUpdate()(diffusion, x_t, boxes, 1, 0, draw=fail_to_draw), expected)


def test_a_chain_that_ends_at_minus_one_ends_at_the_prediction():
    diffusion = GaussianDiffusion(cosine_betas(1000))
    boxes = torch.rand(2, 5, 4)
    for eta in (0.0, 1.0):
        x = DDIMUpdate(eta)(diffusion, torch.randn(2, 5, 4), boxes, 999, -1, draw=noise_source(diffusion))
        assert_close(x, diffusion.boxes_to_signal(boxes))


@pytest.mark.parametrize("num_timesteps", [100, 1000])
@pytest.mark.parametrize("schedule", [cosine_betas, linear_betas, sqrt_linear_betas, sqrt_betas])
def test_every_step_of_every_schedule_is_finite(schedule, num_timesteps):
    diffusion = GaussianDiffusion(schedule(num_timesteps))
    x_t, boxes = torch.ones(1, 1, 4), torch.full((1, 1, 4), 0.3)
    step = num_timesteps // 25
    times = [(t, t_next) for t in range(0, num_timesteps, step) for t_next in range(-1, t, step)]
    for t, t_next in times:
        x_next = DDIMUpdate(eta=1.0)(diffusion, x_t, boxes, t, t_next, draw=lambda: torch.zeros(1, 1, 4))
        assert x_next.isfinite().all(), (t, t_next)


def test_fresh_noise_starts_every_step_from_the_next_draw_whatever_was_predicted():
    diffusion, recorder = GaussianDiffusion(cosine_betas(100)), Recorder(confidence=1.0)
    draws = [torch.randn(2, 5, 4) for _ in range(4)]
    queue = iter(draws)
    DDIMSampler(3, update=FreshNoise()).run(recorder, diffusion, lambda: next(queue))
    for boxes, draw in zip(recorder.boxes, draws, strict=False):
        assert_close(boxes, diffusion.signal_to_boxes(draw))
    assert recorder.times == [[99, 99], [66, 66], [33, 33]]


@pytest.mark.parametrize("eta", [-0.1, 1.5])
def test_eta_outside_its_range_is_refused(eta):
    with pytest.raises(ValueError, match=f"eta is {eta}"):
        DDIMUpdate(eta)


# ---- renewal ----


@pytest.mark.parametrize(("num_timesteps", "thresholds"), [(100, [0.66, 0.33, 0.0]), (1000, [0.666, 0.333, 0.0])])
def test_the_threshold_that_falls_with_time_scales_with_the_timesteps(num_timesteps, thresholds):
    renewal = TimeRenewal()
    times = ddim_times(num_timesteps, 3)
    assert [renewal.threshold(t_next, num_timesteps) for _, t_next in times] == pytest.approx(thresholds)
    assert renewal.threshold(-1, num_timesteps) == 0


def test_the_fixed_threshold_is_the_same_at_all_times_and_checked():
    assert {FixedRenewal(0.5).threshold(t_next, 1000) for t_next in (666, 0, -1)} == {0.5}
    with pytest.raises(ValueError, match="renewal threshold is 1.5"):
        FixedRenewal(1.5)


def test_queries_at_or_below_the_threshold_restart_from_fresh_noise_and_the_others_go_on():
    diffusion = GaussianDiffusion(cosine_betas(100))
    seen = []

    def denoise(queries, t):
        seen.append(queries.boxes)
        confidence = torch.tensor([[0.9, 0.5, 0.1, 0.51, 0.0]]).expand(2, -1)
        return PassPrediction(torch.full((2, 5, 4), 0.4), confidence, None)

    draws = [torch.randn(2, 5, 4) for _ in range(3)]
    queue = iter(draws)
    sampler = DDIMSampler(2, update=DDIMUpdate(), renewal=FixedRenewal(0.5))
    sampler.run(denoise, diffusion, lambda: next(queue))
    x_next = DDIMUpdate()(diffusion, draws[0], torch.full((2, 5, 4), 0.4), 99, 49, draw=fail_to_draw)
    kept = torch.tensor([True, False, False, True, False])
    assert_close(seen[1][:, kept], diffusion.signal_to_boxes(x_next)[:, kept])
    assert_close(seen[1][:, ~kept], diffusion.signal_to_boxes(draws[1])[:, ~kept])


# ---- the sampler ----


@pytest.mark.parametrize("num_steps", [1, 3])
def test_draws_are_the_initial_noise_then_a_renewal_per_step_the_last_included(num_steps):
    diffusion, recorder = GaussianDiffusion(cosine_betas(100)), Recorder(confidence=0.0)
    sampler = DDIMSampler(num_steps, update=ReleasedUpdate(), renewal=TimeRenewal())
    torch.manual_seed(7)
    sampler.run(recorder, diffusion, noise_source(diffusion))
    after = torch.randn(1)
    torch.manual_seed(7)
    draws = [torch.randn(2, 5, 4) for _ in range(num_steps + 1)]
    assert torch.equal(after, torch.randn(1))
    for boxes, draw in zip(recorder.boxes, draws, strict=False):  # with confidence 0, every query is renewed
        assert_close(boxes, diffusion.signal_to_boxes(draw))


def test_draws_of_a_stochastic_update_come_before_the_renewals():
    diffusion, names = GaussianDiffusion(cosine_betas(100)), iter("abcde")
    order = []

    class Update(DDIMUpdate):
        def __call__(self, *args, draw):
            order.append("update")
            return super().__call__(*args, draw=draw)

    def draw():
        order.append(next(names))
        return torch.zeros(2, 5, 4)

    DDIMSampler(2, update=Update(eta=1.0), renewal=FixedRenewal(0.5)).run(Recorder(), diffusion, draw)
    assert order == ["a", "update", "b", "c", "update", "d", "e"]


def test_the_network_sees_clamped_boxes_and_the_chain_carries_unclamped_signal():
    diffusion, recorder = GaussianDiffusion(cosine_betas(100)), Recorder()
    start = torch.full((1, 1, 4), 5.0)
    passes = DDIMSampler(2, update=DDIMUpdate()).run(recorder, diffusion, lambda: start)
    assert_close(recorder.boxes[0], torch.ones(1, 1, 4))
    x_next = DDIMUpdate()(diffusion, start, torch.full((1, 1, 4), 0.4), 99, 49, draw=fail_to_draw)
    assert_close(recorder.boxes[1], diffusion.signal_to_boxes(x_next))
    assert recorder.times == [[99], [49]]
    assert [each.t for each in passes] == [99, 49]
    assert [each.queries.boxes is seen for each, seen in zip(passes, recorder.boxes, strict=True)] == [True, True]


def test_seeded_noise_of_an_image_does_not_depend_on_the_batch():
    diffusion = GaussianDiffusion(cosine_betas(100))
    together, reversed_ = noise_source(diffusion, seeds=[11, 22]), noise_source(diffusion, seeds=[22, 11])
    alone = noise_source(diffusion, batch=1, seeds=[22])
    torch.manual_seed(0)
    untouched = torch.get_rng_state()
    for _ in range(2):
        noise = together()
        assert_close(noise[1:], alone(), rtol=0, atol=0)
        assert_close(noise.flip(0), reversed_(), rtol=0, atol=0)
        assert not torch.equal(noise[0], noise[1])
    assert torch.equal(torch.get_rng_state(), untouched)


def test_ensembles_choose_passes():
    diffusion = GaussianDiffusion(cosine_betas(100))
    passes = DDIMSampler(3, update=DDIMUpdate()).run(Recorder(), diffusion, noise_source(diffusion))
    assert [each.t for each in AllPasses()(passes)] == [99, 66, 33]
    assert [each.t for each in LastPass()(passes)] == [33]
    assert [each.t for each in AllButLastPass()(passes)] == [99, 66]
    assert [each.t for each in AllButLastPass()(passes[:1])] == [99]
