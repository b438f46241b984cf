"""Training queries that start where inference does."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, distinct_boxes, pairwise_iou
from layers_diffu_detr.denoising import CentreFiller, DiffusedQueries
from layers_diffu_detr.ldm.box_noise import RelativeNoise
from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate
from layers_diffu_detr.ldm.diffusion import BetaNoise, GaussianDiffusion
from layers_diffu_detr.ldm.passes import PassPrediction
from layers_diffu_detr.ldm.renewal import FixedRenewal
from layers_diffu_detr.ldm.schedule import cosine_betas
from layers_diffu_detr.ldm.starts import DistinctProposalStart, GaussianStart, ProposalStart
from layers_diffu_detr.training_batch import TrainingBatch
from layers_diffu_detr.training_starts import DuplicatedQueries, MixedQueries, ProposalQueries, RolledOutQueries

QUERIES, T = 12, 100


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def diffusion():
    return GaussianDiffusion(cosine_betas(T))


def targets(*counts):
    return [{"labels": torch.zeros(n, dtype=torch.int64), "boxes": torch.rand(n, 4) * 0.3 + 0.3} for n in counts]


def proposals(batch=2):
    """Two boxes that overlap, and others apart from each other."""
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.21, 0.2, 0.2, 0.2], [0.7, 0.7, 0.1, 0.2], [0.7, 0.2, 0.1, 0.1]])
    return boxes.expand(batch, -1, -1)


class Network:
    """Predicts boxes that move by a step, and remembers how often it has run. Keeps what it was given."""

    def __init__(self, step=0.01, confidence=0.9):
        self.step, self.confidence, self.calls = step, confidence, []

    def __call__(self, queries, t):
        self.calls.append((queries, t))
        state = torch.full_like(queries.boxes, len(self.calls))
        return PassPrediction(queries.boxes + self.step, torch.full_like(state[..., 0], self.confidence), None, state)


# ---- proposals ----


def test_queries_are_the_proposals_that_inference_starts_from(diffusion):
    start = DistinctProposalStart(iou_threshold=0.3)
    queries, t = ProposalQueries(start)(TrainingBatch(targets(1, 0), QUERIES, diffusion, proposals=proposals()))
    _, expected = start(0, diffusion=diffusion, draw=None, proposals=proposals())
    assert torch.equal(queries.boxes, expected.boxes) and torch.equal(queries.source, expected.source)
    assert queries.source.tolist() == [[0, 2, 3]] * 2 and queries.valid.all()
    assert t.tolist() == [0, 0]


def test_the_time_of_proposals_can_be_another(diffusion):
    _, t = ProposalQueries(ProposalStart(), t=20)(
        TrainingBatch(targets(1, 0), QUERIES, diffusion, proposals=proposals())
    )
    assert t.tolist() == [20, 20]


def test_noise_moves_proposals_in_units_of_the_box_at_a_time_per_image(diffusion):
    given = proposals(batch=200)
    queries, t = ProposalQueries(ProposalStart(), noise=RelativeNoise(0.5))(
        TrainingBatch(targets(*[0] * 200), QUERIES, diffusion, proposals=given)
    )
    assert t.min() < 10 and t.max() >= 90  # all times occur
    moved = ((queries.boxes - given)[..., :2] / given[..., 2:]).abs().mean((1, 2))
    assert moved[t > 80].mean() > 3 * moved[t < 10].mean()


def test_the_noise_is_that_of_the_diffusion():
    class ByNoise:
        def __call__(self, boxes, t, noise, diffusion):
            return noise

    diffusion = GaussianDiffusion(cosine_betas(T), noise=BetaNoise(scale=2.0))
    queries, _ = ProposalQueries(ProposalStart(), noise=ByNoise())(
        TrainingBatch(targets(*[0] * 100), QUERIES, diffusion, proposals=proposals(100))
    )
    assert queries.boxes.abs().max() <= 2 and queries.boxes.abs().max() > 1.8


def test_a_network_without_proposals_and_times_that_do_not_exist_are_refused(diffusion):
    with pytest.raises(ValueError, match="ProposalQueries; this model has no proposals"):
        ProposalQueries(ProposalStart())(TrainingBatch(targets(1), QUERIES, diffusion))
    with pytest.raises(ValueError, match="diffused_queries.t is 100; 100 timesteps allow 0 to 99"):
        ProposalQueries(ProposalStart(), t=100)(TrainingBatch(targets(1), QUERIES, diffusion, proposals=proposals(1)))
    with pytest.raises(ValueError, match="diffused_queries.t is -1"):
        ProposalQueries(ProposalStart(), t=-1)


# ---- roll-outs ----


def roll_out(diffusion, network, sampler, given=None):
    return RolledOutQueries(sampler)(TrainingBatch(targets(1, 0), QUERIES, diffusion, proposals=given, denoise=network))


def test_every_pass_of_the_chain_is_trained_now_and_then(diffusion):
    sampler = DDIMSampler(3, update=DDIMUpdate())
    seen = set()
    for _ in range(30):
        network = Network()
        queries, t = roll_out(diffusion, network, sampler)
        seen.add((int(t[0]), len(network.calls)))
        assert queries.boxes.shape == (2, QUERIES, 4) and t.shape == (2,) and t.dtype == torch.int64
    assert seen == {(99, 0), (66, 1), (33, 2)}


def test_a_trained_pass_gets_what_the_sampler_gives_the_same_pass(diffusion):
    """With a seed, the queries of pass n are those that inference would have given the network."""
    sampler = DDIMSampler(
        2, update=DDIMUpdate(), start=DistinctProposalStart(0.3), times=[60, 20], renewal=FixedRenewal(0.5)
    )
    run = Network()
    sampler.run(run, diffusion, draw=lambda: torch.zeros(2, 4, 4), proposals=proposals())
    for _ in range(10):
        queries, t = roll_out(diffusion, Network(), sampler, proposals())
        expected, expected_t = run.calls[0 if t[0] == 60 else 1]
        assert_close(queries.boxes, expected.boxes)
        assert torch.equal(queries.source, expected.source) and torch.equal(t, expected_t)
        assert (queries.state is None) == (expected.state is None) == (int(t[0]) == 60)


def test_a_query_that_restarts_forgets(diffusion):
    sampler = DDIMSampler(2, update=DDIMUpdate(), renewal=FixedRenewal(0.5), start=GaussianStart())
    states = [roll_out(diffusion, Network(confidence=0.1), sampler)[0].state for _ in range(10)]
    states += [roll_out(diffusion, Network(confidence=0.9), sampler)[0].state for _ in range(10)]
    forgotten = [bool((state == 0).all()) for state in states if state is not None]
    assert set(forgotten) == {True, False}


def test_a_chain_that_stops_early_is_trained_on_its_last_pass(diffusion):
    def stop(passes):
        return torch.ones(2, dtype=torch.bool)

    sampler = DDIMSampler(3, update=DDIMUpdate(), stop=stop)
    assert {int(roll_out(diffusion, Network(), sampler)[1][0]) for _ in range(20)} == {99}


def test_a_model_that_gives_no_network_is_refused(diffusion):
    with pytest.raises(ValueError, match="RolledOutQueries; this model gives training no network"):
        roll_out(diffusion, None, DDIMSampler(3, update=DDIMUpdate()))


# ---- mixtures ----


def test_ways_are_drawn_by_their_weights(diffusion):
    ways = [ProposalQueries(ProposalStart(), t=time) for time in (1, 2, 3)]
    mixed = MixedQueries(ways, weights=[1, 3, 0])
    drawn = [int(mixed(TrainingBatch(targets(1), QUERIES, diffusion, proposals=proposals(1)))[1]) for _ in range(400)]
    assert 60 < drawn.count(1) < 140 and drawn.count(1) + drawn.count(2) == 400
    equal = MixedQueries(ways)
    drawn = [int(equal(TrainingBatch(targets(1), QUERIES, diffusion, proposals=proposals(1)))[1]) for _ in range(300)]
    assert all(60 < drawn.count(time) < 140 for time in (1, 2, 3))


def test_a_mixture_gives_its_ways_what_it_gets(diffusion):
    mixed = MixedQueries([RolledOutQueries(DDIMSampler(1, update=DDIMUpdate())), ProposalQueries(ProposalStart(), t=5)])
    times = {
        int(mixed(TrainingBatch(targets(1), QUERIES, diffusion, proposals=proposals(1), denoise=Network()))[1])
        for _ in range(20)
    }
    assert times == {99, 5}


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_that_cannot_be_drawn_by_are_refused(weights):
    with pytest.raises(ValueError, match="diffused_queries.weights is .*; it needs 2 numbers"):
        MixedQueries([ProposalQueries(ProposalStart())] * 2, weights)


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="diffused_queries.starts"):
        MixedQueries([])


# ---- duplicates ----


def test_each_target_has_several_boxes_near_it():
    (target,) = targets(3)
    duplicated = DuplicatedQueries(CentreFiller(), copies=(3, 3), noise_scale=0.1)
    boxes = duplicated.padded_boxes([target], QUERIES)[0]
    assert torch.equal(boxes[:3], target["boxes"])  # one of them is the target itself, as in `DiffusedQueries`
    assert (boxes[9:] == 0.5).all()
    for number in range(3, 9):
        near = pairwise_iou(box_cxcywh_to_xyxy(boxes[number : number + 1]), box_cxcywh_to_xyxy(target["boxes"]))
        assert near.argmax() == number % 3 and 0.4 < near.max() < 1
    assert distinct_boxes(boxes[None, :9], 0.3).sum() < 9


def test_the_number_of_copies_differs_from_batch_to_batch():
    duplicated = DuplicatedQueries(CentreFiller(), copies=(2, 4))
    found = {int((duplicated.padded_boxes(targets(2), QUERIES) != 0.5).any(-1).sum()) for _ in range(30)}
    assert found == {4, 6, 8}


def test_without_copies_and_for_images_without_objects_it_is_diffused_queries(diffusion):
    given = targets(2, 0)
    torch.manual_seed(1)
    expected, times = DiffusedQueries(CentreFiller())(TrainingBatch(given, QUERIES, diffusion))
    torch.manual_seed(1)
    torch.randint(1, 2, ())
    torch.randn(0, 4)
    duplicated = DuplicatedQueries(CentreFiller(), copies=(1, 1))
    assert (duplicated.padded_boxes(targets(0), QUERIES) == 0.5).all()
    assert torch.equal(duplicated.padded_boxes(given, QUERIES), DiffusedQueries(CentreFiller()).padded_boxes(given, 12))
    queries, t = duplicated(TrainingBatch(given, QUERIES, diffusion))
    assert queries.boxes.shape == expected.boxes.shape and t.shape == times.shape


def test_more_copies_than_queries_are_a_random_subset():
    boxes = DuplicatedQueries(CentreFiller(), copies=(13, 13)).padded_boxes(targets(4), QUERIES)
    assert boxes.shape == (1, QUERIES, 4) and (boxes != 0.5).any(-1).all()


@pytest.mark.parametrize("copies", [(0, 3), (4, 3)])
def test_numbers_of_copies_that_make_no_sense_are_refused(copies):
    with pytest.raises(ValueError, match="diffused_queries.copies is "):
        DuplicatedQueries(CentreFiller(), copies=copies)
