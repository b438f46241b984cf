"""The set criterion: values by hand, names, weights, and images without objects."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_base.modeling.criterion import (
    ClassAgnosticTargets,
    SetCriterion,
    TargetsAsGiven,
    average_over_ranks,
)
from projects.diffu_base.modeling.losses import FocalLoss, MatchedPairs, VarifocalLoss, giou_loss, l1_loss
from projects.diffu_base.modeling.matcher import HungarianMatcher

CLASSES, LAYERS = 4, 3


def make_criterion(class_loss=None, encoder_targets=None, matcher=None):
    return SetCriterion(
        num_classes=CLASSES,
        matcher=matcher or HungarianMatcher(),
        class_loss=class_loss or FocalLoss(),
        weight_dict={"loss_class": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0},
        num_layers=LAYERS,
        encoder_targets=encoder_targets or ClassAgnosticTargets(),
    )


def layer(batch, queries, generator):
    return {
        "pred_logits": torch.randn(batch, queries, CLASSES, generator=generator).requires_grad_(),
        "pred_boxes": (torch.rand(batch, queries, 4, generator=generator) * 0.5 + 0.1).requires_grad_(),
    }


def make_outputs(batch=2, queries=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    outputs = layer(batch, queries, generator)
    outputs["aux_outputs"] = [layer(batch, queries, generator) for _ in range(LAYERS - 1)]
    outputs["enc_outputs"] = layer(batch, 2 * queries, generator)
    return outputs


def make_targets(*counts, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "labels": torch.randint(CLASSES, (n,), generator=generator),
            "boxes": torch.rand(n, 4, generator=generator) * 0.5 + 0.1,
        }
        for n in counts
    ]


def leaves(outputs):
    for each in (outputs, *outputs["aux_outputs"], outputs["enc_outputs"]):
        yield from (each["pred_logits"], each["pred_boxes"])


def make_pairs(quality_boxes=((0.5, 0.5, 1.0, 1.0), (0.5, 0.5, 0.5, 0.5))):
    pred, target = torch.tensor(quality_boxes)
    image, query, first, label = (torch.tensor([i]) for i in (0, 1, 0, 2))
    return MatchedPairs(image, query, first, label, pred[None], target[None])


def test_focal_loss_is_the_textbook_one():
    logits = torch.randn(2, 3, CLASSES, generator=torch.Generator().manual_seed(0))
    one_hot = torch.zeros_like(logits)
    one_hot[0, 1, 2] = 1
    prob = logits.sigmoid()
    p_t = torch.where(one_hot == 1, prob, 1 - prob)
    alpha_t = torch.where(one_hot == 1, 0.25, 0.75)
    assert_close(FocalLoss()(logits, make_pairs()), (-alpha_t * (1 - p_t) ** 2 * p_t.log()).sum())


def test_varifocal_loss_weighs_by_quality():
    logits = torch.randn(2, 3, CLASSES, generator=torch.Generator().manual_seed(0))
    quality = 0.25  # a box inside another one of four times its area
    target = torch.zeros_like(logits)
    target[0, 1, 2] = quality
    weight = 0.75 * logits.sigmoid() ** 2
    weight[0, 1, 2] = quality
    expected = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
    assert_close(VarifocalLoss()(logits, make_pairs()), expected, rtol=1e-5, atol=1e-5)


def test_varifocal_weights_carry_no_gradient():
    logits = torch.zeros(1, 2, CLASSES, requires_grad=True)
    VarifocalLoss()(logits, make_pairs()).backward()
    expected = torch.full((1, 2, CLASSES), 0.75 * 0.25 * 0.5)  # weight · (p - 0)
    expected[0, 1, 2] = 0.25 * (0.5 - 0.25)  # q · (p - q)
    assert_close(logits.grad, expected, rtol=1e-5, atol=1e-6)


def test_quality_is_a_slot():
    far = make_pairs(((0.2, 0.2, 0.1, 0.1), (0.8, 0.8, 0.1, 0.1)))
    logits = torch.zeros(1, 2, CLASSES)
    background = (2 * CLASSES - 1) * 0.75 * 0.25 * math.log(2)
    assert_close(VarifocalLoss(quality=paired_iou)(logits, far), torch.tensor(background))
    assert VarifocalLoss()(logits, far) < background  # as released: a negative GIoU makes the term negative


def test_box_losses_by_hand():
    assert_close(l1_loss(make_pairs()), torch.tensor(1.0))
    assert_close(giou_loss(make_pairs()), torch.tensor(0.75), rtol=1e-5, atol=0)


def test_names_and_expanded_weights_agree():
    criterion = make_criterion()
    losses = criterion(make_outputs(), make_targets(2, 3))
    kinds, suffixes = ("loss_class", "loss_bbox", "loss_giou"), ("", "_0", "_1", "_enc")
    assert set(losses) == set(criterion.weight_dict) == {kind + suffix for kind in kinds for suffix in suffixes}
    assert all(loss.shape == () for loss in losses.values())
    assert criterion.weight_dict["loss_bbox_1"] == 5.0 and criterion.weight_dict["loss_giou_enc"] == 2.0
    weighted = criterion.weighted(losses)
    assert_close(weighted["loss_bbox_0"], 5 * losses["loss_bbox_0"])


def test_a_loss_without_weight_is_named():
    criterion = make_criterion()
    with pytest.raises(ValueError, match="no weight for \\['loss_mask'\\]"):
        criterion.weighted({"loss_mask": torch.zeros(())})


def test_a_weight_of_a_loss_that_is_never_computed_is_refused():
    with pytest.raises(
        ValueError, match=r"weight_dict has \['loss_mask'\]; the losses of SetCriterion are .*loss_giou"
    ):
        SetCriterion(
            num_classes=CLASSES,
            matcher=HungarianMatcher(),
            class_loss=FocalLoss(),
            weight_dict={"loss_class": 1.0, "loss_mask": 5.0},
            num_layers=LAYERS,
            encoder_targets=TargetsAsGiven(),
        )


def test_exact_predictions_leave_no_box_loss():
    targets = make_targets(3)
    outputs = make_outputs(batch=1)
    with torch.no_grad():
        for each in (outputs, *outputs["aux_outputs"], outputs["enc_outputs"]):
            each["pred_boxes"][0, 2:5] = targets[0]["boxes"]
    losses = make_criterion(matcher=HungarianMatcher(cost_class=0))(outputs, targets)
    for name, loss in losses.items():
        if "class" not in name:
            assert_close(loss, torch.zeros(()), atol=2e-4, rtol=0)


def test_encoder_targets_are_a_slot():
    outputs, targets = make_outputs(), make_targets(2, 3)
    before = [t["labels"].clone() for t in targets]
    agnostic = make_criterion()(outputs, targets)
    given = make_criterion(encoder_targets=TargetsAsGiven())(outputs, targets)
    assert agnostic["loss_class_enc"] != given["loss_class_enc"]
    assert agnostic["loss_class_0"] == given["loss_class_0"]
    assert all(torch.equal(t["labels"], b) for t, b in zip(targets, before, strict=True))


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (20, 2), (7, 8)])
@pytest.mark.parametrize("class_loss", [FocalLoss(), VarifocalLoss()])
def test_every_output_has_a_finite_gradient(counts, class_loss):
    outputs = make_outputs()
    criterion = make_criterion(class_loss)
    losses = criterion(outputs, make_targets(*counts))
    assert set(losses) == set(criterion.weight_dict)
    sum(losses.values()).backward()
    for leaf in leaves(outputs):
        assert leaf.grad is not None and leaf.grad.isfinite().all()
    if not any(counts):
        assert outputs["pred_boxes"].grad.abs().sum() == 0
        assert losses["loss_bbox"] == losses["loss_giou"] == 0 < losses["loss_class"]


def test_a_batch_is_the_mean_of_its_images_weighted_by_objects():
    outputs, targets = make_outputs(), make_targets(2, 3)
    together = make_criterion()(outputs, targets)
    alone = []
    for i in range(2):
        own = {name: value[i : i + 1] for name, value in outputs.items() if name.startswith("pred")}
        own["aux_outputs"] = [{k: v[i : i + 1] for k, v in aux.items()} for aux in outputs["aux_outputs"]]
        own["enc_outputs"] = {k: v[i : i + 1] for k, v in outputs["enc_outputs"].items()}
        alone.append(make_criterion()(own, targets[i : i + 1]))
    for name, loss in together.items():
        assert_close(loss, (2 * alone[0][name] + 3 * alone[1][name]) / 5)


def test_losses_are_computed_in_float32():
    outputs = make_outputs()
    half = {name: value.bfloat16() for name, value in outputs.items() if name.startswith("pred")}
    losses = make_criterion()(half, make_targets(2, 3))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["pred_logits", "pred_boxes"])
def test_a_prediction_that_is_not_finite_shows_in_its_layers_losses(name):
    outputs = make_outputs()
    with torch.no_grad():
        outputs["aux_outputs"][1][name][1, 3] = float("nan")
    losses = make_criterion()(outputs, make_targets(1, 1))
    affected = {key for key, loss in losses.items() if not loss.isfinite()}
    assert affected == ({"loss_class_1"} if name == "pred_logits" else {"loss_bbox_1", "loss_giou_1"})


def test_a_wrong_number_of_classes_is_named():
    outputs = make_outputs()
    outputs["pred_logits"] = torch.zeros(2, 8, CLASSES + 1)
    with pytest.raises(ValueError, match=f"has {CLASSES + 1} classes; num_classes is {CLASSES}"):
        make_criterion()(outputs, make_targets(1, 1))


def test_proposals_need_one_class_only_where_their_targets_have_no_more():
    outputs, targets = make_outputs(), make_targets(2, 3)
    outputs["enc_outputs"]["pred_logits"] = objectness = outputs["enc_outputs"]["pred_logits"][..., :1]
    losses = make_criterion()(outputs, targets)
    agnostic = make_criterion(encoder_targets=ClassAgnosticTargets())
    agnostic.num_classes = 1
    alone = agnostic(
        {"pred_logits": objectness, "pred_boxes": outputs["enc_outputs"]["pred_boxes"]},
        ClassAgnosticTargets()(targets),
    )
    for kind in ("loss_class", "loss_bbox", "loss_giou"):
        assert_close(losses[kind + "_enc"], alone[kind])
    with pytest.raises(ValueError, match=f"the encoder's pred_logits has 1 classes; num_classes is {CLASSES}"):
        make_criterion(encoder_targets=TargetsAsGiven())(outputs, targets)


def test_the_number_of_boxes_is_at_least_one():
    assert average_over_ranks(0, torch.device("cpu")) == 1
    assert average_over_ranks(7, torch.device("cpu")) == 7


def test_the_number_of_boxes_is_averaged_over_processes(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.add_(5))  # the other process has 5
    assert average_over_ranks(0, torch.device("cpu")) == 2.5
