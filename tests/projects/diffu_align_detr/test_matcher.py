"""The mixed matching: how many queries a target gets on which layer."""

from collections import Counter

import pytest
import torch

from projects.diffu_align_detr.modeling.matcher import MixedMatcher, mixed_match_num
from projects.diffu_base.modeling.matcher import HungarianMatcher


def outputs(batch, queries, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(batch, queries, 4, generator=generator) * 0.5 + 0.1
    return {"pred_logits": torch.randn(batch, queries, 4, generator=generator), "pred_boxes": boxes}


def targets(*counts):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "labels": torch.randint(4, (n,), generator=generator),
            "boxes": torch.rand(n, 4, generator=generator) * 0.5 + 0.1,
        }
        for n in counts
    ]


def queries_per_target(indices):
    return [sorted(Counter(matched.tolist()).values()) for _, matched in indices]


def test_numbers_are_those_of_proposals_intermediate_layers_and_last_layer():
    wanted = targets(2)
    # The criterion's order: the last layer, the intermediate ones, the proposals.
    layers = [(outputs(1, 30, seed), wanted) for seed in range(4)]
    found = MixedMatcher(match_num=[4, 2, 3, 1]).match_layers(layers)
    assert [queries_per_target(indices) for indices in found] == [[[1, 1]], [[2, 2]], [[3, 3]], [[4, 4]]]


def test_no_query_has_two_targets():
    ((queries, _),) = MixedMatcher(match_num=[3])(outputs(1, 30), targets(4))
    assert len(queries) == len(queries.unique()) == 12


def test_the_cheapest_queries_are_chosen():
    predictions, wanted = outputs(1, 30), targets(1)
    matcher = MixedMatcher(match_num=[3])
    ((queries, _),) = matcher(predictions, wanted)
    cost = matcher.cost(predictions, wanted[0]["labels"][None], wanted[0]["boxes"][None])[0, :, 0]
    assert sorted(queries.tolist()) == sorted(cost.topk(3, largest=False).indices.tolist())


@pytest.mark.parametrize(("count", "expected"), [(3, 2), (5, 2), (6, 1), (10, 1)])
def test_no_more_than_half_of_the_queries_are_matched_but_one_per_target(count, expected):
    found = MixedMatcher(match_num=[2])(outputs(1, 20), targets(count))
    assert queries_per_target(found) == [[expected] * count]


def test_a_crowded_image_does_not_change_its_neighbours_matching():
    found = MixedMatcher(match_num=[2])(outputs(3, 20), targets(8, 2, 0))
    assert queries_per_target(found) == [[1] * 8, [2, 2], []]


def test_more_targets_than_queries_leave_targets_unmatched():
    ((queries, matched),) = MixedMatcher(match_num=[2])(outputs(1, 6), targets(9))
    assert sorted(queries.tolist()) == list(range(6)) and len(matched.unique()) == 6


def test_one_query_each_is_the_one_to_one_matching():
    predictions, wanted = outputs(2, 20), targets(4, 7)
    layers = [(predictions, wanted)] * 3
    for mixed, plain in zip(
        MixedMatcher(match_num=mixed_match_num(2, most=1)).match_layers(layers),
        HungarianMatcher().match_layers(layers),
        strict=True,
    ):
        for a, b in zip(mixed, plain, strict=True):
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_another_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="match_num has 3 numbers; the proposals and the decoder's layers are 2"):
        MixedMatcher(match_num=[2, 2, 1]).match_layers([(outputs(1, 6), targets(1))] * 2)
    with pytest.raises(ValueError, match=r"match_num is \[2, 0\]"):
        MixedMatcher(match_num=[2, 0])
