"""Box arithmetic against values worked by hand."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.box_ops import (
    box_area,
    box_cxcywh_to_xyxy,
    box_xyxy_to_cxcywh,
    inverse_sigmoid,
    paired_giou,
    paired_iou,
    pairwise_giou,
    pairwise_iou,
)

UNIT = torch.tensor([0.0, 0.0, 1.0, 1.0])


def test_conversions_are_inverse_and_right():
    boxes = torch.tensor([[0.5, 0.4, 0.2, 0.6]])
    corners = torch.tensor([[0.4, 0.1, 0.6, 0.7]])
    assert_close(box_cxcywh_to_xyxy(boxes), corners)
    assert_close(box_xyxy_to_cxcywh(corners), boxes)
    assert_close(box_area(corners), torch.tensor([0.12]))


@pytest.mark.parametrize(
    ("other", "iou", "giou"),
    [
        ([0.0, 0.0, 1.0, 1.0], 1.0, 1.0),
        ([0.5, 0.0, 1.5, 1.0], 1 / 3, 1 / 3),  # hull = union
        ([1.0, 1.0, 2.0, 2.0], 0.0, -0.5),  # union 2, hull 4
        ([2.0, 0.0, 3.0, 1.0], 0.0, -1 / 3),  # union 2, hull 3
        ([0.25, 0.25, 0.75, 0.75], 0.25, 0.25),  # inside
        ([0.5, 0.5, 0.5, 0.5], 0.0, 0.0),  # a point inside
    ],
)
def test_overlaps_by_hand(other, iou, giou):
    other = torch.tensor([other])
    assert_close(paired_iou(UNIT[None], other), torch.tensor([iou]), atol=2e-6, rtol=0)
    assert_close(paired_giou(UNIT[None], other), torch.tensor([giou]), atol=2e-6, rtol=0)


def test_paired_is_the_diagonal_of_pairwise():
    corners = box_cxcywh_to_xyxy(torch.rand(2, 7, 4, generator=torch.Generator().manual_seed(0)))
    pairwise = pairwise_giou(corners[0], corners[1])
    assert pairwise.shape == (7, 7)
    assert_close(paired_giou(corners[0], corners[1]), pairwise.diagonal())


def test_pairwise_takes_batches_and_no_boxes():
    assert pairwise_giou(torch.rand(3, 5, 4), torch.rand(3, 2, 4)).shape == (3, 5, 2)
    assert pairwise_giou(torch.rand(5, 4), torch.rand(0, 4)).shape == (5, 0)
    assert paired_giou(torch.rand(0, 4), torch.rand(0, 4)).shape == (0,)


def test_degenerate_boxes_have_finite_overlap_and_gradient():
    point = torch.tensor([[0.3, 0.3, 0.3, 0.3]], requires_grad=True)
    giou = paired_giou(point, point.detach())
    giou.sum().backward()
    assert giou.isfinite().all() and point.grad.isfinite().all()


def test_inverse_sigmoid_inverts_and_is_bounded():
    assert_close(inverse_sigmoid(torch.tensor([0.2, 0.5, 0.9])).sigmoid(), torch.tensor([0.2, 0.5, 0.9]))
    bounded = inverse_sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    limit = torch.log(torch.tensor(1000.0))
    assert_close(bounded, torch.stack([-limit, -limit, limit, limit]))


def test_pairwise_iou_is_exact_for_small_boxes():
    a = torch.tensor([[0.0, 0.0, 1e-3, 2e-3], [0.5, 0.5, 0.6, 0.6]])
    b = torch.tensor([[5e-4, 0.0, 1.5e-3, 2e-3], [0.5, 0.5, 0.6, 0.6], [0.2, 0.2, 0.2, 0.2]])
    assert_close(pairwise_iou(a, b), torch.tensor([[1 / 3, 0, 0], [0, 1, 0]]), rtol=1e-4, atol=1e-6)
