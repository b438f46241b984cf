"""Align-DETR's criterion: reference losses, losses and ranks by hand, every number of targets."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_align_detr.modeling.losses import IABCELoss, RankWeights, rank_in_bag
from projects.diffu_align_detr.modeling.matcher import MixedMatcher, mixed_match_num
from projects.diffu_base.modeling.criterion import TargetsAsGiven
from projects.diffu_base.modeling.losses import MatchedPairs
from projects.diffu_dino.modeling.criterion import DINOCriterion
from tests.support.golden import criterion_entry, criterion_inputs

KINDS = ("loss_class", "loss_bbox", "loss_giou")


def make_criterion(match_num=(2, 2, 2, 1)):
    return DINOCriterion(
        num_classes=6,
        matcher=MixedMatcher(match_num=match_num),
        class_loss=IABCELoss(alpha=0.25, gamma=2.0),
        pair_weights=RankWeights(tau=1.5, alpha=0.25),
        weight_dict={kind + suffix: 1.0 for kind in KINDS for suffix in ("", "_dn")},
        num_layers=3,
        encoder_targets=TargetsAsGiven(),
    )


@pytest.mark.parametrize("name", ["align_detr", "diffu_align_detr"])
def test_losses_are_the_reference_implementations(name):
    entry = criterion_entry(name)
    criterion = make_criterion(entry["match_num"])
    assert mixed_match_num(num_layers=3, most=2) == entry["match_num"]
    losses = criterion(*criterion_inputs())
    assert set(losses) == set(entry["losses"]) == set(criterion.weight_dict)
    assert_close({k: v.item() for k, v in losses.items()}, entry["losses"], rtol=1e-5, atol=0)


def make_pairs():
    """Three queries of image 0 share target 0, with IoU 1/4, 1 and 1/2; the others have a target of their own."""
    image, query, target = torch.tensor([[0, 0, 0, 0, 1], [5, 1, 2, 0, 2], [0, 0, 0, 1, 0]])
    whole, half, quarter = [0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 0.5], [0.5, 0.5, 0.5, 0.5]
    pred_boxes = torch.tensor([quarter, whole, half, whole, quarter])
    labels = torch.tensor([1, 1, 1, 0, 3])
    return MatchedPairs(image, query, target, labels, pred_boxes, torch.tensor(whole).expand(5, 4))


def make_logits():
    return torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_rank_is_the_place_by_quality_among_the_queries_of_a_target():
    pairs = make_pairs()
    assert rank_in_bag(torch.tensor([0.1, 0.9, 0.5, 0.01, 0.02]), pairs).tolist() == [2, 0, 1, 0, 0]
    assert rank_in_bag(torch.tensor([0.9, 0.1, 0.5, 0.5, 0.5]), pairs).tolist() == [0, 2, 1, 0, 0]


def test_weights_by_hand_fall_with_the_rank():
    weights = RankWeights(tau=1.5)(torch.zeros(2, 6, 4), make_pairs())
    assert_close(weights, torch.tensor([math.exp(-2 / 1.5), 1.0, math.exp(-1 / 1.5), 1.0, 1.0]))


def test_loss_and_gradient_are_those_of_one_target_per_logit():
    weights = torch.tensor([0.3, 1.0, 0.6, 1.0, 1.0])
    pairs = replace(make_pairs(), weights=weights)
    actual, logits = make_logits(), make_logits()
    loss = IABCELoss()(actual, pairs)
    prob = logits.sigmoid()
    iou = pairs.overlap(paired_iou)
    target = (prob[pairs.entries].detach() ** 0.25 * iou**0.75).clamp(min=0.01) * weights
    positive_weight, negative_weight = torch.zeros_like(prob), prob**2
    positive_weight[pairs.entries], negative_weight[pairs.entries] = target, 1 - target
    expected = (-positive_weight * prob.log() - negative_weight * (1 - prob).log()).sum()
    assert_close(loss, expected)
    loss.backward()
    expected.backward()
    assert_close(actual.grad, logits.grad)


def test_a_pair_without_overlap_keeps_a_small_target():
    pairs = make_pairs()
    apart = replace(pairs, target_boxes=torch.full((5, 4), 0.001))
    logits = torch.full((2, 6, 4), -20.0)  # no background loss
    matched = logits[pairs.entries]
    assert_close(IABCELoss()(logits, apart), (F.softplus(matched) - 0.01 * matched).sum())


def requires_grad(outputs):
    for each in (outputs, *outputs["aux_outputs"], outputs["enc_outputs"]):
        for name in ("pred_logits", "pred_boxes"):
            each[name].requires_grad_()
    return outputs


@pytest.mark.parametrize("keep", [(0, 0), (0, 5), (3, 1)])
def test_every_output_has_a_finite_gradient(keep):
    outputs, targets, _ = criterion_inputs()
    targets = [{name: value[:n] for name, value in t.items()} for t, n in zip(targets, keep, strict=True)]
    losses = make_criterion()(requires_grad(outputs), targets, None)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for each in (outputs, *outputs["aux_outputs"], outputs["enc_outputs"]):
        assert all(each[name].grad.isfinite().all() for name in ("pred_logits", "pred_boxes"))


def test_denoising_queries_of_a_target_count_the_same():
    """Pair weights rank the queries that compete for a target; a target's denoising queries do not compete."""
    outputs, targets, dn_metas = criterion_inputs()
    weighted, plain = make_criterion(), make_criterion()
    plain.pair_weights = None
    a, b = weighted(outputs, targets, dn_metas), plain(outputs, targets, dn_metas)
    for name in a:
        if "_dn" in name or name in KINDS:  # the last layer has one query per target: nothing is ranked
            assert_close(a[name], b[name])
        elif "class" in name:  # a lower target lowers the loss of a low score, and raises that of a high one
            assert (a[name] - b[name]).abs() > 1e-4
        else:
            assert a[name] < b[name]
