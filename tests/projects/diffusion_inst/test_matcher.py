"""SimOTA on cases worked by hand, and what holds for every assignment."""

import pytest
import torch
from torch.testing import assert_close

from projects.diffusion_inst.modeling.matcher import SimOTAMatcher


def outputs(boxes, logits=None, num_classes=3):
    boxes = torch.tensor(boxes, dtype=torch.float32)[None]
    return {
        "pred_boxes": boxes,
        "pred_logits": torch.zeros(1, boxes.shape[1], num_classes) if logits is None else logits,
    }


def target(boxes, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return {"boxes": boxes, "labels": torch.zeros(len(boxes), dtype=torch.int64) if labels is None else labels}


def assign(cost, iou, **settings):
    queries, targets = SimOTAMatcher(**settings).assign(torch.tensor([cost, iou]))
    return list(zip(queries.tolist(), targets.tolist(), strict=True))


def test_k_is_the_sum_of_the_best_ious_cut_down_and_at_least_one():
    cost = [[1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [4.0, 8.0]]
    # The first target's IoUs sum to 2.9 for the best three and to 3.1 for all; the second one's sum to 0.4.
    iou = [[1.0, 0.1], [1.0, 0.1], [0.9, 0.1], [0.2, 0.1]]
    assert assign(cost, iou, candidates=3) == [(0, 0), (1, 0), (3, 1)]
    assert assign(cost, iou, candidates=4) == [(0, 0), (1, 0), (2, 0), (3, 1)]


def test_a_query_that_several_targets_want_serves_its_cheapest():
    # Both targets want query 0. The second one gets it; the first one also wants query 1 and gets that.
    assert assign([[2.0, 1.0], [3.0, 9.0]], [[1.0, 0.5], [1.0, 0.0]]) == [(0, 1), (1, 0)]


def test_a_target_that_lost_its_query_takes_the_cheapest_free_one():
    cost = [[2.0, 1.0], [5.0, 9.0], [4.0, 9.0]]
    assert assign(cost, [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]) == [(0, 1), (2, 0)]


def test_the_cost_by_hand():
    # The query's centre lies in the first target, in the second one's surroundings, and far from the third.
    boxes = [[0.5, 0.5, 0.2, 0.2], [0.7, 0.5, 0.2, 0.2], [0.1, 0.1, 0.01, 0.01]]
    logits = torch.tensor([[[0.0, 1.0, 2.0]]])
    cost, iou = SimOTAMatcher().cost(
        outputs([[0.5, 0.5, 0.2, 0.4]], logits), torch.zeros(1, 3, dtype=torch.int64), torch.tensor([boxes])
    )[0]
    # At p = 1/2: 0.25 · 0.25 · ln 2 - 0.75 · 0.25 · ln 2.
    focal = -0.125 * torch.tensor(2.0).log()
    assert_close(iou[0, :2], torch.tensor([0.5, 0.0]), atol=1e-6, rtol=0)
    assert_close(cost[0, 0], 2 * focal + 5 * 0.2 - 2 * 0.5, atol=1e-4, rtol=0)
    # Hull 0.4 · 0.4, union 0.08 + 0.04.
    assert_close(cost[0, 1], 2 * focal + 5 * (0.2 + 0.2 + 0.2) + 2 * 0.04 / 0.16 + 100, atol=1e-4, rtol=0)
    assert 100 < cost[0, 2] < 200  # not above 10000: the query lies in the surroundings of some target


def test_queries_away_from_every_target_come_last():
    near, far = [0.5, 0.5, 0.1, 0.1], [0.99, 0.99, 0.01, 0.01]
    cost, _ = SimOTAMatcher().cost(
        outputs([near, far]), torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[[0.45, 0.45, 0.02, 0.02]]])
    )[0]
    assert cost[0, 0] > 10000  # the centre is 2.5 box sizes away
    assert cost[1, 0] > 10000
    matched = SimOTAMatcher(radius=3.0).cost(
        outputs([near, far]), torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[[0.45, 0.45, 0.02, 0.02]]])
    )[0, 0]
    assert 100 < matched[0, 0] < 10000 < matched[1, 0]


@pytest.mark.parametrize(("num_queries", "num_targets"), [(20, 0), (20, 1), (20, 7), (7, 7), (5, 9), (3, 20)])
def test_every_target_gets_a_query_while_there_are_any_and_no_query_serves_two(num_queries, num_targets):
    generator = torch.Generator().manual_seed(num_targets)
    boxes = torch.rand(1, num_queries, 4, generator=generator) * 0.4 + 0.1
    logits = torch.randn(1, num_queries, 4, generator=generator)
    truth = {
        "boxes": torch.rand(num_targets, 4, generator=generator) * 0.4 + 0.1,
        "labels": torch.randint(4, (num_targets,), generator=generator),
    }
    ((queries, targets),) = SimOTAMatcher()({"pred_boxes": boxes, "pred_logits": logits}, [truth])
    assert queries.dtype == targets.dtype == torch.int64
    assert len(set(queries.tolist())) == len(queries) <= num_queries
    assert len(set(targets.tolist())) == min(num_targets, num_queries)


def test_a_batch_and_several_layers_match_as_one_by_one():
    generator = torch.Generator().manual_seed(0)
    counts = (3, 0, 6)
    truths = [
        {
            "boxes": torch.rand(n, 4, generator=generator) * 0.4 + 0.1,
            "labels": torch.randint(5, (n,), generator=generator),
        }
        for n in counts
    ]
    layers = [
        {
            "pred_boxes": torch.rand(3, 15, 4, generator=generator) * 0.4 + 0.1,
            "pred_logits": torch.randn(3, 15, 5, generator=generator),
        }
        for _ in range(2)
    ]
    together = SimOTAMatcher().match_layers([(layer, truths) for layer in layers])
    for layer, indices in zip(layers, together, strict=True):
        for i, truth in enumerate(truths):
            (alone,) = SimOTAMatcher()({name: x[i : i + 1] for name, x in layer.items()}, [truth])
            assert [x.tolist() for x in indices[i]] == [x.tolist() for x in alone]


def test_a_prediction_that_is_not_finite_is_matched_so_that_its_loss_shows_it():
    boxes = [[0.5, 0.5, 0.2, 0.2], [float("nan"), 0.5, 0.2, 0.2], [0.4, 0.5, 0.2, 0.2]]
    ((queries, _),) = SimOTAMatcher()(outputs(boxes), [target([[0.5, 0.5, 0.2, 0.2]])])
    assert 1 in queries.tolist()


def test_no_candidates_are_refused():
    with pytest.raises(ValueError, match="candidates is 0"):
        SimOTAMatcher(candidates=0)
