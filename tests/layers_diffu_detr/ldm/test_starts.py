"""What a chain starts from: noise, proposals, distinct proposals; alone and in a batch."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.ldm.box_noise import RelativeNoise
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.passes import QueryBoxes
from layers_diffu_detr.ldm.schedule import cosine_betas
from layers_diffu_detr.ldm.starts import (
    DistinctProposalStart,
    FilledProposalStart,
    GaussianStart,
    ProposalStart,
    SobolStart,
)

DIFFUSION = GaussianDiffusion(cosine_betas(100))
LEFT, RIGHT, TOP = [0.25, 0.5, 0.2, 0.2], [0.75, 0.5, 0.2, 0.2], [0.5, 0.1, 0.2, 0.2]
NEAR_LEFT = [0.26, 0.5, 0.2, 0.2]  # IoU with LEFT 0.19 / 0.21
# The first image has three distinct proposals and the second has two.
PROPOSALS = torch.tensor([[LEFT, NEAR_LEFT, RIGHT, TOP], [RIGHT, RIGHT, RIGHT, LEFT]])


def source(seeds=(5, 6), number=4):
    return NoiseSource(DIFFUSION, (len(seeds), number, 4), torch.device("cpu"), list(seeds))


def begin(start, t=99, proposals=PROPOSALS, seeds=(5, 6), number=4):
    return start(t, diffusion=DIFFUSION, draw=source(seeds, number), proposals=proposals)


def test_only_marked_queries_stay_in_their_order_and_padding_is_not_valid():
    boxes = torch.arange(2 * 4 * 4.0).view(2, 4, 4)
    keep = torch.tensor([[False, True, False, True], [True, False, False, False]])
    queries, rows = QueryBoxes(boxes, source=torch.tensor([[9, 8, 7, 6], [5, 4, 3, 2]])).only(keep)
    assert rows.tolist() == [[1, 3], [0, 1]]
    assert queries.source.tolist() == [[8, 6], [5, 4]]
    assert queries.valid.tolist() == [[True, True], [True, False]]
    assert_close(queries.boxes[0], boxes[0, [1, 3]])


def test_content_and_positions_follow_their_proposal():
    content = torch.arange(2 * 4 * 3.0).view(2, 4, 3)
    queries = QueryBoxes(torch.rand(2, 2, 4), source=torch.tensor([[2, 0], [3, 3]]))
    assert_close(queries.of_source(content), torch.stack([content[0, [2, 0]], content[1, [3, 3]]]))
    assert QueryBoxes(torch.rand(2, 4, 4)).of_source(content) is content


def test_the_released_start_is_the_noise_itself():
    x_t, queries = begin(GaussianStart())
    assert torch.equal(x_t, source()())
    assert torch.equal(queries.boxes, DIFFUSION.signal_to_boxes(x_t)) and queries.source is queries.valid is None


def test_sobol_noise_is_normal_and_fills_space_more_evenly_than_independent_noise():
    x_t, _ = begin(SobolStart(), number=1024)
    assert x_t.shape == (2, 1024, 4) and x_t.isfinite().all() and x_t.dtype == torch.float32
    assert x_t.mean((0, 1)).abs().max() < 0.01 and (x_t.std((0, 1)) - 1).abs().max() < 0.02

    def counts(noise):  # of 256 cells that are equally likely, the largest and the smallest number of boxes
        cells = (torch.special.ndtr(noise[0]) * 4).long().clamp(max=3) @ torch.tensor([64, 16, 4, 1])
        number = torch.bincount(cells, minlength=256)
        return number.max() - number.min()

    assert counts(x_t) <= 4 < counts(source(number=1024)())


def test_sobol_noise_depends_on_the_image_s_seed_alone():
    together, _ = begin(SobolStart())
    alone, _ = begin(SobolStart(), seeds=(6,), proposals=None)
    assert torch.equal(together[1:], alone) and not torch.equal(together[0], together[1])
    torch.manual_seed(0)
    draw = NoiseSource(DIFFUSION, (1, 4, 4), torch.device("cpu"))
    first, second = (SobolStart()(99, diffusion=DIFFUSION, draw=draw, proposals=None)[0] for _ in range(2))
    assert not torch.equal(first, second)  # without a seed, every chain has other noise


def test_all_proposals_start_as_they_are_or_moved_by_noise():
    x_t, queries = begin(ProposalStart())
    assert queries.boxes is PROPOSALS
    assert_close(DIFFUSION.signal_to_boxes(x_t), PROPOSALS)
    moved, _ = begin(ProposalStart(RelativeNoise(0.5)), t=33)
    expected = RelativeNoise(0.5)(PROPOSALS, torch.tensor([33, 33]), source()(), DIFFUSION)
    assert_close(DIFFUSION.signal_to_boxes(moved), expected)


def test_distinct_proposals_are_those_that_no_better_one_overlaps():
    _, queries = begin(DistinctProposalStart(0.3))
    assert queries.valid.tolist() == [[True, True, True], [True, True, False]]
    assert queries.source[0].tolist() == [0, 2, 3] and queries.source[1, :2].tolist() == [0, 3]
    assert_close(queries.boxes[0], torch.tensor([LEFT, RIGHT, TOP]))
    assert begin(DistinctProposalStart(0.95))[1].valid.sum(1).tolist() == [4, 2]
    most = begin(DistinctProposalStart(0.3, most=2))[1]
    assert most.source.tolist() == [[0, 2], [0, 3]] and most.valid.all()
    assert begin(DistinctProposalStart(0.3, most=100))[1].boxes.shape == (2, 3, 4)


@pytest.mark.parametrize("noise", [None, RelativeNoise()])
@pytest.mark.parametrize("kind", [DistinctProposalStart, FilledProposalStart])
def test_an_image_starts_alone_as_in_a_batch(kind, noise):
    together, queries = begin(kind(0.3, noise=noise), t=33)
    for i, seed in enumerate((5, 6)):
        alone, own = begin(kind(0.3, noise=noise), t=33, seeds=(seed,), proposals=PROPOSALS[i : i + 1])
        number = own.boxes.shape[1]
        assert own.valid is None or own.valid.all()
        assert_close(together[i, :number], alone[0])
        assert_close(queries.source[i, :number], own.source[0])
        assert queries.valid is None or queries.valid[i].sum() == number


def test_noise_fills_the_place_of_the_other_proposals():
    x_t, queries = begin(FilledProposalStart(0.3))
    assert queries.valid is None and queries.source.tolist() == [[0, 2, 3, 1], [0, 3, 1, 2]]
    assert_close(queries.boxes[0, :3], torch.tensor([LEFT, RIGHT, TOP]))
    noise = source()()
    assert torch.equal(x_t[0, 3:], noise[0, 3:]) and torch.equal(x_t[1, 2:], noise[1, 2:])
    assert begin(FilledProposalStart(0.3, most=3))[0].shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistinctProposalStart(0), r"start.iou_threshold is 0; it must lie in \(0, 1\]"),
        (lambda: DistinctProposalStart(1.5), r"start.iou_threshold is 1.5"),
        (lambda: FilledProposalStart(most=0), r"start.most is 0; it must be at least 1"),
        (lambda: begin(ProposalStart(), proposals=None), r"start is ProposalStart; this model has no proposals"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
