"""DINO's criterion: reference losses, and denoising losses in every case."""

import pytest
import torch
from torch.testing import assert_close

from projects.diffu_base.modeling.criterion import ClassAgnosticTargets, TargetsAsGiven
from projects.diffu_base.modeling.losses import FocalLoss, VarifocalLoss
from projects.diffu_base.modeling.matcher import HungarianMatcher
from projects.diffu_dino.modeling.criterion import DINOCriterion, denoising_indices
from tests.support.golden import criterion_entry, criterion_inputs

KINDS = ("loss_class", "loss_bbox", "loss_giou")


def make_criterion(class_loss, encoder_targets, num_classes=6, num_layers=3):
    return DINOCriterion(
        num_classes=num_classes,
        matcher=HungarianMatcher(cost_class=2, cost_bbox=5, cost_giou=2, alpha=0.25, gamma=2),
        class_loss=class_loss,
        weight_dict={kind + suffix: 1.0 for kind in KINDS for suffix in ("", "_dn")},
        num_layers=num_layers,
        encoder_targets=encoder_targets,
    )


@pytest.mark.parametrize(
    ("name", "class_loss", "encoder_targets"),
    [("dino", FocalLoss(), TargetsAsGiven()), ("diffu_dino", VarifocalLoss(), ClassAgnosticTargets())],
)
def test_losses_are_the_reference_implementations(name, class_loss, encoder_targets):
    criterion = make_criterion(class_loss, encoder_targets)
    losses = criterion(*criterion_inputs())
    expected = criterion_entry(name)["losses"]
    assert set(losses) == set(expected) == set(criterion.weight_dict)
    assert_close({k: v.item() for k, v in losses.items()}, expected, rtol=1e-5, atol=0)


def requires_grad(outputs):
    encoder = [outputs["enc_outputs"]] if "enc_outputs" in outputs else []
    for each in (outputs, *outputs["aux_outputs"], *encoder):
        for name in ("pred_logits", "pred_boxes"):
            each[name].requires_grad_()
    return outputs


def test_the_backward_pass_is_done_with_one_layer_before_it_comes_to_the_next():
    outputs, targets, dn_metas = criterion_inputs()
    requires_grad(outputs), requires_grad(dn_metas["output_known_lbs_bboxes"])
    finished = []
    for both in (outputs, dn_metas["output_known_lbs_bboxes"]):
        for layer, each in enumerate((both, *both["aux_outputs"])):
            each["pred_logits"].register_hook(lambda _, layer=layer: finished.append(layer))
    sum(make_criterion(VarifocalLoss(), TargetsAsGiven())(outputs, targets, dn_metas).values()).backward()
    assert finished == [2, 2, 1, 1, 0, 0]


def test_without_denoising_queries_the_losses_are_connected_zeros():
    outputs, targets, _ = criterion_inputs()
    criterion = make_criterion(FocalLoss(), TargetsAsGiven())
    losses = criterion(requires_grad(outputs), targets, None)
    assert set(losses) == set(criterion.weight_dict)
    denoising = [loss for name, loss in losses.items() if "_dn" in name]
    assert len(denoising) == 9 and all(loss == 0 for loss in denoising)
    sum(denoising).backward()
    for each in (outputs, *outputs["aux_outputs"]):
        assert (each["pred_logits"].grad == 0).all() and (each["pred_boxes"].grad == 0).all()


@pytest.mark.parametrize("class_loss", [FocalLoss(), VarifocalLoss()])
def test_an_all_empty_batch_trains(class_loss):
    outputs, targets, _ = criterion_inputs()
    empty = [{name: value[:0] for name, value in t.items()} for t in targets]
    losses = make_criterion(class_loss, ClassAgnosticTargets())(requires_grad(outputs), empty, None)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert outputs["enc_outputs"]["pred_boxes"].grad is not None


def test_an_image_without_objects_beside_one_with_objects_has_denoising_losses():
    outputs, targets, dn_metas = criterion_inputs()
    targets[0] = {name: value[:0] for name, value in targets[0].items()}
    requires_grad(dn_metas["output_known_lbs_bboxes"])
    losses = make_criterion(VarifocalLoss(), ClassAgnosticTargets())(outputs, targets, dn_metas)
    assert all(loss.isfinite() for loss in losses.values())
    losses["loss_bbox_dn"].backward()
    gradient = dn_metas["output_known_lbs_bboxes"]["pred_boxes"].grad
    assert (gradient[0] == 0).all() and gradient[1].abs().sum() > 0


def test_denoising_losses_follow_the_targets_that_have_queries():
    outputs, targets, dn_metas = criterion_inputs()
    criterion = make_criterion(FocalLoss(), TargetsAsGiven())
    subset = [{name: value[:2] for name, value in t.items()} for t in targets]
    capped = criterion(outputs, targets, {**dn_metas, "targets": subset})
    only_subset = criterion(outputs, subset, dn_metas)
    full = criterion(outputs, targets, dn_metas)
    for name in full:
        assert_close(capped[name], only_subset[name] if "_dn" in name else full[name])


def test_only_positives_are_paired():
    targets = [{"labels": torch.tensor([3, 1])}, {"labels": torch.tensor([], dtype=torch.int64)}]
    (queries, matched), (none, _) = denoising_indices(targets, groups=3, single_padding=4)
    assert queries.tolist() == [0, 1, 4, 5, 8, 9] and matched.tolist() == [0, 1, 0, 1, 0, 1]
    assert none.numel() == 0


def test_denoising_weights_skip_the_encoder():
    weights = make_criterion(FocalLoss(), TargetsAsGiven(), num_layers=2).weight_dict
    assert [name for name in weights if name.startswith("loss_bbox")] == [
        "loss_bbox", "loss_bbox_enc", "loss_bbox_0", "loss_bbox_dn", "loss_bbox_dn_0",
    ]  # fmt: skip
