"""Proposals: which tokens are chosen, what is computed for it, what the criterion sees."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr import chunks
from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head
from projects.diffu_detr.modeling.proposals import (
    BestClassScore,
    Candidates,
    ChosenObjectness,
    ChosenTokens,
    EveryToken,
    ObjectnessScore,
    Proposals,
)

DIM, CLASSES, TOKENS = 16, 7, 20


@pytest.fixture
def class_head():
    torch.manual_seed(0)
    return build_class_head(DIM, CLASSES)


@pytest.fixture
def box_head():
    torch.manual_seed(1)
    head = build_box_head(DIM)
    return head.apply(lambda layer: nn.init.normal_(layer.weight) if isinstance(layer, nn.Linear) else None)


@pytest.fixture
def candidates():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, TOKENS, DIM, generator=generator, requires_grad=True)
    box_logits = torch.randn(2, TOKENS, 4, generator=generator)
    return Candidates(features, box_logits, torch.ones(2, TOKENS, dtype=torch.bool))


def choose(candidates, tokens, box_head):
    chosen = candidates[tokens]
    return Proposals(chosen.features, chosen.boxes(box_head), candidates)


@pytest.mark.parametrize("chunk", [1, 40, 2**24])
def test_the_best_class_score_is_exact_whatever_is_computed_at_a_time(candidates, class_head, chunk, monkeypatch):
    monkeypatch.setattr(chunks, "_ENTRIES_CPU", chunk)
    assert_close(BestClassScore()(candidates.features, class_head), class_head(candidates.features).max(-1).values)


def test_the_logits_of_all_tokens_never_exist_at_once(candidates, class_head, monkeypatch):
    monkeypatch.setattr(chunks, "_ENTRIES_CPU", 2 * 3 * CLASSES)  # three tokens of each image
    sizes = []
    class_head.register_forward_hook(lambda _, args, output: sizes.append(output.shape[1]))
    BestClassScore()(candidates.features, class_head)
    assert max(sizes) == 3 and sum(sizes) == TOKENS


def test_the_first_class_score_reads_one_column(candidates, class_head):
    expected = class_head(candidates.features)[..., 0]
    assert_close(ObjectnessScore()(candidates.features, class_head), expected)
    with torch.no_grad():
        class_head.weight[1:] = class_head.bias[1:] = float("nan")
    assert_close(ObjectnessScore()(candidates.features, class_head), expected)


def test_the_criterion_sees_the_chosen_tokens_or_their_first_class(candidates, class_head, box_head):
    proposals = choose(candidates, torch.tensor([[3, 0, 7], [1, 2, 19]]), box_head)
    everything, objectness = (s(proposals, class_head, box_head) for s in (ChosenTokens(), ChosenObjectness()))
    expected = class_head(candidates.features)
    assert_close(everything["pred_logits"][1], expected[1, [1, 2, 19]])
    assert_close(objectness["pred_logits"], everything["pred_logits"][..., :1])
    for predictions in (everything, objectness):
        assert_close(predictions["pred_boxes"], proposals.boxes)


def test_the_criterion_may_see_every_token(candidates, class_head, box_head):
    proposals = choose(candidates, torch.tensor([[3, 0, 7], [1, 2, 19]]), box_head)
    predictions = EveryToken()(proposals, class_head, box_head)
    assert_close(predictions["pred_logits"], class_head(candidates.features))
    assert predictions["pred_boxes"].shape == (2, TOKENS, 4)
    assert_close(predictions["pred_boxes"][0, [3, 0, 7]], proposals.boxes[0])


def test_tokens_that_cannot_become_a_box_have_finite_gradients(candidates, class_head, box_head):
    candidates.box_logits[:, 4:8] = float("inf")
    boxes = candidates.boxes(box_head)
    assert (boxes[:, 4:8] == 1).all()
    boxes.sum().backward()
    assert candidates.features.grad.isfinite().all() and (candidates.features.grad[:, 4:8] == 0).all()
