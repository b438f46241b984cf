"""Class losses: their gradient, and the memory that they keep for it. `test_criterion.py` tests their values."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from layers_diffu_detr import chunks
from projects.diffu_base.modeling import losses
from projects.diffu_base.modeling.losses import FocalLoss, MatchedPairs, VarifocalLoss, giou_loss, l1_loss


def make_logits(dtype=torch.float32):
    return torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()


def make_pairs(weights=None):
    generator = torch.Generator().manual_seed(1)
    image, query, target, label = torch.tensor([[0, 0, 1], [4, 1, 0], [0, 1, 0], [2, 0, 4]])
    boxes = torch.rand(2, 3, 4, generator=generator) * 0.4 + 0.2
    return MatchedPairs(image, query, target, label, *boxes, weights=weights)


def one_hot(logits, pairs):
    targets = torch.zeros_like(logits)
    targets[pairs.entries] = 1
    return targets


def focal(logits, pairs):
    """The focal loss of Lin et al. 2017, with a tensor of targets, one for every logit."""
    targets = one_hot(logits, pairs)
    p_t = torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid())
    return (torch.where(targets == 1, 0.25, 0.75) * (1 - p_t) ** 2 * -p_t.log()).sum()


def varifocal(logits, pairs):
    """The varifocal loss of Zhang et al. 2021, with a tensor of targets, one for every logit."""
    quality = torch.zeros_like(logits)
    quality[pairs.entries] = pairs.overlap(losses.paired_giou)
    weight = torch.where(one_hot(logits, pairs) == 1, quality, 0.75 * logits.detach().sigmoid() ** 2)
    return F.binary_cross_entropy_with_logits(logits, quality, weight=weight, reduction="sum")


LOSSES = [(FocalLoss(), focal), (VarifocalLoss(), varifocal)]


@pytest.mark.parametrize("chunk", [1, 20, 2**24])
@pytest.mark.parametrize(("loss", "textbook"), LOSSES)
def test_values_and_gradients_are_those_of_one_target_per_logit(loss, textbook, chunk, monkeypatch):
    monkeypatch.setattr(chunks, "_ENTRIES_CPU", chunk)
    actual, expected = make_logits(), make_logits()
    value, expected_value = loss(actual, make_pairs()), textbook(expected, make_pairs())
    assert_close(value, expected_value)
    (3 * value).backward()
    (3 * expected_value).backward()
    assert_close(actual.grad, expected.grad)


@pytest.mark.parametrize(("loss", "_"), LOSSES)
def test_half_precision_logits_get_their_gradient_in_their_type_from_a_loss_in_float32(loss, _):
    half = make_logits(torch.bfloat16)
    widened = half.detach().float().requires_grad_()
    value, expected = loss(half, make_pairs()), loss(widened, make_pairs())
    assert value.dtype == torch.float32
    assert_close(value, expected)
    value.backward()
    expected.backward()
    assert_close(half.grad.float(), widened.grad, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize(("loss", "_"), LOSSES)
def test_nothing_of_the_logits_size_is_kept_but_they_themselves(loss, _):
    logits, kept = make_logits(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        loss(logits, make_pairs())
    assert [x.data_ptr() for x in kept if x.numel() >= logits.numel()] == [logits.data_ptr()]


def test_no_pairs_leave_the_background():
    none = torch.empty(0, dtype=torch.int64)
    pairs = MatchedPairs(none, none, none, none, torch.empty(0, 4), torch.empty(0, 4))
    logits = make_logits()
    value = FocalLoss()(logits, pairs)
    assert_close(value, focal(logits, pairs))
    value.backward()
    assert (logits.grad > 0).all()


def test_pairs_count_by_their_weights():
    pairs, weighted = make_pairs(), make_pairs(weights=torch.tensor([1.0, 0.5, 0.0]))
    for loss in (l1_loss, giou_loss):
        each = [
            loss(MatchedPairs(*(getattr(pairs, name)[i : i + 1] for name in list(vars(pairs))[:-1]))) for i in range(3)
        ]
        assert_close(loss(pairs), sum(each))
        assert_close(loss(weighted), each[0] + 0.5 * each[1])
