"""Losses by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from datasets_utils.lvis_image_counts import lvis_image_counts
from layers_diffu_detr.mask_head import DynamicMaskHead
from projects.diffu_base.modeling import mask_loss
from projects.diffu_base.modeling.losses import FocalLoss, MatchedPairs
from projects.diffu_base.modeling.mask_loss import MaskLoss, dice_loss
from projects.diffusion_inst.modeling.losses import FederatedLoss, corner_l1_loss


def pairs_of(labels, queries, pred_boxes=None, target_boxes=None):
    labels, queries = torch.tensor(labels, dtype=torch.int64), torch.tensor(queries, dtype=torch.int64)
    boxes = torch.zeros(len(labels), 4)
    zero = torch.zeros_like(queries)
    return MatchedPairs(
        image=zero,
        query=queries,
        target=zero,
        labels=labels,
        pred_boxes=boxes if pred_boxes is None else torch.tensor(pred_boxes),
        target_boxes=boxes if target_boxes is None else torch.tensor(target_boxes),
    )


def test_l1_is_of_corners():
    # Corners (0.4, 0.3, 0.6, 0.7) and (0.35, 0.25, 0.65, 0.65).
    pairs = pairs_of([0], [0], pred_boxes=[[0.5, 0.5, 0.2, 0.4]], target_boxes=[[0.5, 0.45, 0.3, 0.4]])
    assert_close(corner_l1_loss(pairs), torch.tensor(0.2))


def test_dice_by_hand():
    probability = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    truth = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    # First: overlap 1.5, squares 1.25 and 2.
    assert_close(dice_loss(probability, truth), torch.tensor([1 - 3 / 3.25, 1.0, 0.0]), rtol=0, atol=1e-5)


def test_mask_loss_takes_each_pair_in_its_image_and_pads_its_truth():
    torch.manual_seed(0)
    head = DynamicMaskHead(in_channels=2, channels=2, num_layers=2)
    feature = torch.randn(2, 2, 4, 5)
    filters = [torch.randn(1, head.num_filters), torch.randn(2, head.num_filters)]
    masks = [torch.rand(1, 4, 5) > 0.5, torch.rand(2, 3, 4) > 0.5]
    padded = torch.zeros(2, 4, 5)
    padded[:, :3, :4] = masks[1]
    expected = (
        dice_loss(head(feature[0], filters[0]).sigmoid(), masks[0].float()).sum()
        + dice_loss(head(feature[1], filters[1]).sigmoid(), padded).sum()
    )
    assert_close(MaskLoss(head)(filters, feature, masks), expected)


def test_mask_loss_without_pairs_is_zero_and_connected():
    head = DynamicMaskHead()
    feature, filters = torch.randn(1, 8, 4, 4, requires_grad=True), torch.randn(3, 153, requires_grad=True)
    loss = MaskLoss(head)([filters[:0]], feature, [torch.zeros(0, 4, 4, dtype=torch.bool)])
    loss.backward()
    assert loss == 0 and not feature.grad.any() and not filters.grad.any()


def test_what_a_crowded_image_s_masks_keep_for_their_gradients_is_bounded(monkeypatch):
    head = DynamicMaskHead()

    def loss_gradients_and_kept(count):
        generator = torch.Generator().manual_seed(0)
        feature = torch.randn(1, 8, 12, 10, generator=generator, requires_grad=True)
        filters = torch.randn(count, head.num_filters, generator=generator, requires_grad=True)
        masks, kept = torch.rand(count, 11, 10, generator=generator) > 0.5, {}

        def keep(x):
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            loss = MaskLoss(head)([filters], feature, [masks])
        loss.backward()
        inputs = sum(x.untyped_storage().nbytes() for x in (feature, filters, masks))
        return (loss, feature.grad, filters.grad), sum(kept.values()) - inputs

    numbers = 18 * 12 * 10  # of a pair: 8, 8 and 1 channels and the truth
    at_once, kept = loss_gradients_and_kept(count=50)
    assert kept > 50 * 4 * numbers * 0.9
    monkeypatch.setattr(mask_loss, "_KEPT", 8 * numbers)
    in_parts, kept = loss_gradients_and_kept(count=50)
    assert_close(in_parts, at_once)
    assert kept <= 0
    _, kept = loss_gradients_and_kept(count=8)
    assert kept > 8 * 4 * numbers * 0.9  # few are not made again


# ---- federated loss ----


def test_all_classes_drawn_is_the_plain_loss():
    logits, pairs = torch.randn(1, 5, 4), pairs_of([2, 0], [1, 3])
    federated = FederatedLoss(FocalLoss(), image_counts=[1, 2, 3, 4], num_sampled=5)
    assert_close(federated(logits, pairs), FocalLoss()(logits, pairs))


def test_classes_that_are_not_drawn_cost_nothing():
    torch.manual_seed(0)
    logits, pairs = torch.zeros(1, 2, 100, requires_grad=True), pairs_of([7, 7], [0, 1])
    federated = FederatedLoss(FocalLoss(), image_counts=[1] * 100, num_sampled=20)
    loss = federated(logits, pairs)
    loss.backward()
    touched = logits.grad.abs().sum((0, 1)) > 0
    assert touched[7] and touched.sum() == 19  # the background is the twentieth
    assert_close(loss, (2 * 0.25 + 36 * 0.75) * 0.25 * torch.tensor(math.log(2)))


def test_targets_of_more_classes_than_are_drawn_all_count():
    logits = torch.zeros(1, 30, 40, requires_grad=True)
    FederatedLoss(FocalLoss(), [1] * 40, num_sampled=5)(logits, pairs_of(range(30), range(30))).backward()
    assert (logits.grad.abs().sum((0, 1)) > 0).tolist() == [True] * 30 + [False] * 10


def test_frequent_classes_are_drawn_more_often_by_the_root_of_their_count():
    torch.manual_seed(0)
    federated = FederatedLoss(FocalLoss(), image_counts=[1, 100, 0, 1], num_sampled=2, power=0.5)
    none = torch.empty(0, dtype=torch.int64)
    drawn = torch.cat([federated.draw(none) for _ in range(2000)]).bincount(minlength=4) / 2000
    assert_close(drawn, torch.tensor([1 / 12, 10 / 12, 0, 1 / 12]), rtol=0, atol=0.03)


def test_a_class_that_no_image_holds_is_not_drawn():
    federated = FederatedLoss(FocalLoss(), image_counts=[3, 0, 5])
    assert sorted(federated.draw(torch.tensor([2])).tolist()) == [0, 2]
    assert federated.draw(torch.tensor([2, 0, 2])).tolist() == [0, 2]


def test_federated_loss_without_targets_is_finite_and_connected():
    logits = torch.zeros(2, 3, 60, requires_grad=True)
    loss = FederatedLoss(FocalLoss(), [5] * 60)(logits, pairs_of([], []))
    loss.backward()
    assert loss > 0 and logits.grad.isfinite().all()


def test_a_count_per_class_is_asked_for():
    with pytest.raises(ValueError, match="image_counts has 3 classes; num_classes is 4"):
        FederatedLoss(FocalLoss(), [1, 2, 3])(torch.zeros(1, 2, 4), pairs_of([0], [0]))
    with pytest.raises(ValueError, match="num_sampled is 1"):
        FederatedLoss(FocalLoss(), [1, 2, 3], num_sampled=1)


def test_counts_of_lvis_are_those_of_its_frequency_groups():
    counts = lvis_image_counts()
    assert len(counts) == 1203 and min(counts) > 0
    # LVIS v1 has 337 rare (1 to 10 images), 461 common (11 to 100) and 405 frequent classes.
    assert [sum(count <= bound for count in counts) for bound in (10, 100)] == [337, 337 + 461]
