"""The mask loss by hand, and the memory that it keeps."""

import torch
from torch.testing import assert_close

from layers_diffu_detr.mask_head import DynamicMaskHead
from projects.diffu_base.modeling import mask_loss
from projects.diffu_base.modeling.mask_loss import MaskLoss, dice_loss


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

    numbers = 18 * 12 * 10  # a pair keeps 8 + 8 + 1 channels and the truth
    at_once, kept = loss_gradients_and_kept(count=50)
    assert kept > 50 * 4 * numbers * 0.9
    monkeypatch.setattr(mask_loss, "_KEPT", 8 * numbers)
    in_parts, kept = loss_gradients_and_kept(count=50)
    assert_close(in_parts, at_once)
    assert kept <= 0
    _, kept = loss_gradients_and_kept(count=8)
    assert kept > 8 * 4 * numbers * 0.9  # so few masks are kept
