"""Chains with given times, with fewer queries from pass to pass, with stops; and the single pass."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.ldm.box_noise import RelativeNoise
from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate, FreshNoise, SinglePass
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.passes import PassPrediction
from layers_diffu_detr.ldm.renewal import DropDuplicates
from layers_diffu_detr.ldm.schedule import cosine_betas
from layers_diffu_detr.ldm.starts import DistinctProposalStart, FilledProposalStart, GaussianStart, ProposalStart


def fail_to_draw():
    raise AssertionError("a deterministic step drew noise")


def noise_source(diffusion):
    return NoiseSource(diffusion, (2, 5, 4), torch.device("cpu"))


class Recorder:
    """A denoiser that predicts one box, and remembers the times."""

    def __init__(self):
        self.times = []

    def __call__(self, queries, t):
        self.times.append(t.tolist())
        return PassPrediction(torch.full_like(queries.boxes, 0.4), torch.full(queries.boxes.shape[:2], 0.5), None)


def test_a_chain_has_the_times_that_it_is_given():
    diffusion, recorder, pairs = GaussianDiffusion(cosine_betas(100)), Recorder(), []

    class Update(DDIMUpdate):
        def __call__(self, diffusion, x_t, boxes_start, t, t_next, *, draw):
            pairs.append((t, t_next))
            return super().__call__(diffusion, x_t, boxes_start, t, t_next, draw=draw)

    for num_steps, expected in ((1, [(33, 0)]), (2, [(33, 10), (10, 0)])):
        pairs.clear()
        DDIMSampler(num_steps, update=Update(), times=[33, 10]).run(recorder, diffusion, noise_source(diffusion))
        assert pairs == expected
    assert recorder.times == [[33, 33], [33, 33], [10, 10]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"times": [100, 10]}, r"sampler.times is \[100, 10\]; it needs falling timesteps below 100 and above 0"),
        ({"times": [10, 33]}, r"sampler.times is \[10, 33\]"),
        ({"times": [10, 0]}, r"sampler.times is \[10, 0\]"),
        ({"times": []}, r"sampler.times is \[\]"),
        ({"times": [33, 10], "num_steps": 3}, r"num_steps is 3; sampler.times \[33, 10\] allow 1 to 2"),
    ],
)
def test_times_that_are_no_chain_are_refused(settings, message):
    diffusion = GaussianDiffusion(cosine_betas(100))
    with pytest.raises(ValueError, match=message):
        DDIMSampler(**settings, update=DDIMUpdate()).run(Recorder(), diffusion, noise_source(diffusion))
    assert DDIMSampler(1, times=[0], last_time=-1, update=DDIMUpdate()).time_pairs(100) == [(0, -1)]


class Alternating:
    """A denoiser under which, of the first image, the boxes 1 and 3 stay distinct and of the second, box 2 alone."""

    def __init__(self):
        self.queries = []

    def __call__(self, queries, t):
        self.queries.append(queries)
        number = torch.arange(4)[None].expand(2, -1) if queries.source is None else queries.source
        boxes = torch.full((*number.shape, 4), 0.5)
        boxes[0, :, 0] = torch.where(number[0] == 1, 0.1, 0.9)
        boxes[..., 2:] = 0.2
        confidence = torch.zeros(number.shape)
        confidence[0] = torch.where(number[0] == 3, 0.9, 0.1)
        confidence[1] = torch.where(number[1] == 2, 0.9, 0.1)
        return PassPrediction(boxes, confidence, None)


def test_duplicates_leave_the_chain_and_the_others_go_on_from_their_own_signal():
    diffusion, denoise = GaussianDiffusion(cosine_betas(100)), Alternating()
    start = torch.randn(2, 4, 4)
    sampler = DDIMSampler(2, update=DDIMUpdate(), renewal=DropDuplicates())
    first, second = sampler.run(denoise, diffusion, lambda: start)
    assert first.queries.valid is None
    assert second.queries.source[0].tolist() == [1, 3] and second.queries.source[1, 0] == 2
    assert second.queries.valid.tolist() == [[True, True], [True, False]]
    x_next = DDIMUpdate()(diffusion, start, first.prediction.boxes, 99, 49, draw=fail_to_draw)
    expected = diffusion.signal_to_boxes(x_next)
    assert_close(second.queries.boxes[0], expected[0, [1, 3]])
    assert_close(second.queries.boxes[1, 0], expected[1, 2])


def test_a_chain_with_fewer_queries_draws_the_first_rows_of_the_noise():
    diffusion = GaussianDiffusion(cosine_betas(100))
    draws = [torch.randn(2, 4, 4) for _ in range(4)]
    queue = iter(draws)
    sampler = DDIMSampler(3, update=FreshNoise(), renewal=DropDuplicates())
    passes = sampler.run(Alternating(), diffusion, lambda: next(queue))
    assert [each.queries.boxes.shape[1] for each in passes] == [4, 2, 2]
    assert_close(passes[2].queries.boxes[0], diffusion.signal_to_boxes(draws[2])[0, :2])


@pytest.mark.parametrize(("stops", "active"), [([9, 9], [None, 2, 2]), ([1, 9], [None, 1, 1]), ([2, 1], [None, 1])])
def test_an_image_that_stopped_does_not_count_in_later_passes(stops, active):
    """`stops`: after how many passes each image stops; `active`: how many images count in each pass."""
    diffusion = GaussianDiffusion(cosine_betas(100))
    sampler = DDIMSampler(3, update=DDIMUpdate(), stop=lambda passes: torch.tensor(stops) == len(passes))
    passes = sampler.run(Recorder(), diffusion, noise_source(diffusion))
    assert [None if each.active is None else each.active.sum() for each in passes] == active


def test_a_single_pass_starts_from_distinct_proposals_without_noise():
    proposals = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.1, 0.5, 0.2, 0.2]]])
    (only,) = SinglePass(DistinctProposalStart()).run(lambda queries, t: None, proposals=proposals)
    assert only.queries.source.tolist() == [[0, 2]]


@pytest.mark.parametrize(
    "start", [GaussianStart(), FilledProposalStart(), ProposalStart(RelativeNoise()), DistinctProposalStart(noise=0)]
)
def test_a_single_pass_has_no_noise_to_start_from(start):
    with pytest.raises(ValueError, match=f"sampler.start is a {type(start).__name__} that draws noise"):
        SinglePass(start)


def test_a_single_pass_starts_from_the_proposals():
    calls, proposals = [], torch.rand(2, 5, 4)

    def denoise(queries, t):
        calls.append((queries, t))
        return "prediction"

    (only,) = SinglePass().run(denoise, proposals=proposals)
    assert calls == [(only.queries, None)] and only.prediction == "prediction"
    assert only.queries.boxes is proposals and only.queries.source is only.queries.valid is None
