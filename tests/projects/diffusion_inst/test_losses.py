"""The L1 loss of corners, and the federated loss."""

import math

import pytest
import torch
from torch.testing import assert_close

from datasets_utils.lvis_image_counts import lvis_image_counts
from projects.diffu_base.modeling.losses import FocalLoss, MatchedPairs
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
    assert touched[7] and touched.sum() == 19  # the twentieth is the background, which has no logit
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
