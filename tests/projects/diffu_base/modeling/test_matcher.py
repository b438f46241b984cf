"""Matching: least total cost, image by image, and all layers in one call."""

import itertools
import math

import numpy as np
import pytest
import torch
import torchvision
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from projects.diffu_base.modeling.matcher import HungarianMatcher


def outputs(batch, queries, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(batch, queries, 4, generator=generator) * 0.5 + 0.1
    return {"pred_logits": torch.randn(batch, queries, classes, generator=generator), "pred_boxes": boxes}


def targets(*counts, classes=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "labels": torch.randint(classes, (n,), generator=generator),
            "boxes": torch.rand(n, 4, generator=generator) * 0.5 + 0.1,
        }
        for n in counts
    ]


def test_cost_by_hand():
    predictions = {"pred_logits": torch.zeros(1, 1, 2), "pred_boxes": torch.tensor([[[0.5, 0.5, 1.0, 1.0]]])}
    labels, boxes = torch.tensor([[1]]), torch.tensor([[[0.5, 0.5, 0.5, 0.5]]])
    focal = (0.25 - 0.75) * 0.25 * math.log(2)
    l1, giou = 1.0, 0.25
    cost = HungarianMatcher().cost(predictions, labels, boxes)
    assert_close(cost, torch.tensor([[[2 * focal + 5 * l1 - 2 * giou]]]), rtol=1e-5, atol=0)


def test_an_exact_prediction_is_matched():
    wanted = targets(3)
    predictions = outputs(1, 10)
    predictions["pred_boxes"][0, [7, 2, 5]] = wanted[0]["boxes"]
    queries, matched = HungarianMatcher(cost_class=0)(predictions, wanted)[0]
    assert dict(zip(queries.tolist(), matched.tolist(), strict=True)) == {7: 0, 2: 1, 5: 2}


def test_the_assignment_is_the_cheapest_of_all():
    matcher, predictions, wanted = HungarianMatcher(), outputs(1, 5), targets(3)
    cost = matcher.cost(predictions, wanted[0]["labels"][None], wanted[0]["boxes"][None])[0]
    queries, matched = matcher(predictions, wanted)[0]
    cheapest = min(sum(cost[q, j] for j, q in enumerate(order)) for order in itertools.permutations(range(5), 3))
    assert_close(cost[queries, matched].sum(), cheapest)


def assign_one_by_one(logits, boxes, target):
    """The assignment of one image in one layer, from complete cost matrices, as the papers write them."""
    prob = logits.sigmoid()
    positive = 0.25 * (1 - prob) ** 2 * -torch.log(prob + 1e-8)
    negative = 0.75 * prob**2 * -torch.log(1 - prob + 1e-8)
    focal = (positive - negative)[:, target["labels"]]
    corners = [torchvision.ops.box_convert(x, "cxcywh", "xyxy") for x in (boxes, target["boxes"])]
    giou = torchvision.ops.generalized_box_iou(*corners)
    cost = 2 * focal + 5 * torch.cdist(boxes, target["boxes"], p=1) - 2 * giou
    return [index.tolist() for index in linear_sum_assignment(cost.numpy())]


def test_1000_random_cases_are_assigned_as_one_by_one():
    matcher = HungarianMatcher()
    cases = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        classes, queries = int(rng.integers(1, 90)), rng.integers(5, 60, size=4)
        wanted = targets(*rng.integers(0, 12, size=5), classes=classes, seed=seed)
        layers = [(outputs(5, int(q), classes, seed=100 * seed + i), wanted) for i, q in enumerate(queries)]
        for (predictions, _), indices in zip(layers, matcher.match_layers(layers), strict=True):
            for i, (query, target) in enumerate(indices):
                expected = assign_one_by_one(predictions["pred_logits"][i], predictions["pred_boxes"][i], wanted[i])
                assert [query.tolist(), target.tolist()] == expected
                cases += 1
    assert cases == 1000


def test_an_image_is_matched_as_alone():
    matcher, predictions, wanted = HungarianMatcher(), outputs(3, 12), targets(4, 0, 7)
    together = matcher(predictions, wanted)
    for i in range(3):
        alone = matcher({name: value[i : i + 1] for name, value in predictions.items()}, [wanted[i]])[0]
        assert all(torch.equal(a, b) for a, b in zip(together[i], alone, strict=True))


def test_layers_together_are_layers_one_by_one():
    matcher, wanted = HungarianMatcher(), targets(2, 3)
    binary = [{**t, "labels": torch.zeros_like(t["labels"])} for t in wanted]
    layers = [(outputs(2, 12, seed=3), wanted), (outputs(2, 20, seed=4), binary), (outputs(2, 12, seed=5), wanted)]
    for (predictions, layer_targets), together in zip(layers, matcher.match_layers(layers), strict=True):
        for a, b in zip(together, matcher(predictions, layer_targets), strict=True):
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (20, 1), (6, 5)])
def test_any_number_of_targets(counts):
    indices = HungarianMatcher()(outputs(2, 6), targets(*counts))
    for (queries, matched), n in zip(indices, counts, strict=True):
        assert len(queries) == len(matched) == len(set(queries.tolist())) == len(set(matched.tolist())) == min(6, n)
        assert queries.dtype == matched.dtype == torch.int64


def test_half_precision_predictions_are_matched_in_float32():
    predictions, wanted = outputs(1, 8), targets(3)
    half = {name: value.bfloat16() for name, value in predictions.items()}
    widened = {name: value.float() for name, value in half.items()}
    matcher = HungarianMatcher()
    assert torch.equal(matcher(half, wanted)[0][0], matcher(widened, wanted)[0][0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["pred_logits", "pred_boxes"])
def test_predictions_that_are_not_finite_are_matched_first(name, value):
    predictions = outputs(1, 6)
    predictions[name][0, 4] = value
    queries, _ = HungarianMatcher()(predictions, targets(1))[0]
    assert queries.tolist() == [4]


def test_targets_that_are_not_finite_are_matched():
    wanted = targets(2)
    wanted[0]["boxes"][1] = float("nan")
    assert 1 in HungarianMatcher()(outputs(1, 1), wanted)[0][1].tolist()


def test_all_weights_zero_is_refused():
    with pytest.raises(ValueError, match="all 0"):
        HungarianMatcher(cost_class=0, cost_bbox=0, cost_giou=0)
