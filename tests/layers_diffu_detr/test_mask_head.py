"""Dynamic mask head, mask branch, upsampling and masks in pixels: against one object at a time, and by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from layers_diffu_detr import chunks
from layers_diffu_detr.mask_head import (
    DynamicMaskHead,
    MaskBranch,
    aligned_bilinear,
    fit,
    num_filters,
    sample_masks,
)


class Largest(TorchDispatchMode):
    """Records how many numbers the largest tensor has that is made while it is active."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.untyped_storage().nbytes() // result.itemsize == result.numel():
            self.numel = max(self.numel, result.numel())
        return result


# ---- dynamic mask head ----


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((8, 8, 3), 153), ((8, 8, 1), 9), ((8, 8, 2), 81), ((8, 8, 4), 225), ((1, 8, 3), 97), ((16, 8, 3), 217)],
)
def test_the_number_of_filters_follows_from_the_channels(sizes, expected):
    assert num_filters(*sizes) == DynamicMaskHead(*sizes).num_filters == expected


@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 4, 2), (3, 4, 3)])
def test_all_objects_at_once_equal_each_alone_by_convolutions(sizes):
    torch.manual_seed(0)
    in_channels, channels, num_layers = sizes
    head = DynamicMaskHead(*sizes)
    feature, filters = torch.randn(in_channels, 5, 6), torch.randn(7, head.num_filters)
    widths = [in_channels, *[channels] * (num_layers - 1), 1]
    together = head(feature, filters)
    for mask, numbers in zip(together, filters, strict=True):
        # The weights of all layers come first, then the biases of all layers.
        weights = numbers.split([a * b for a, b in zip(widths, widths[1:], strict=False)] + widths[1:])
        x = feature[None]
        for i in range(num_layers):
            x = F.conv2d(x, weights[i].view(widths[i + 1], widths[i], 1, 1), weights[num_layers + i])
            x = x.relu() if i < num_layers - 1 else x
        assert_close(mask, x[0, 0])


def test_the_feature_is_not_copied_for_every_object():
    head = DynamicMaskHead(in_channels=64, channels=2, num_layers=2)
    with Largest() as largest:
        head(torch.randn(64, 10, 10), torch.randn(50, head.num_filters))
    assert largest.numel <= 50 * 2 * 100  # the hidden layer; a feature per object would have 50 · 64 · 100


def test_no_object_has_no_mask_but_a_gradient():
    head = DynamicMaskHead()
    feature, filters = torch.randn(8, 4, 5, requires_grad=True), torch.randn(0, 153, requires_grad=True)
    masks = head(feature, filters)
    assert masks.shape == (0, 4, 5)
    masks.sum().backward()
    assert not feature.grad.any() and filters.grad.shape == (0, 153)


def test_a_head_without_layers_is_refused():
    with pytest.raises(ValueError, match="num_layers 0"):
        DynamicMaskHead(8, 8, 0)


# ---- maps ----


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_upsampling_keeps_values_at_their_pixels_and_is_linear_between(factor):
    x = torch.arange(12.0).view(1, 1, 3, 4)  # rises by 1 to the right, by 4 downwards
    up = aligned_bilinear(x, factor)
    assert up.shape == (1, 1, 3 * factor, 4 * factor)
    half = factor // 2
    assert_close(up[..., half::factor, half::factor], x)
    rows, columns = torch.meshgrid(torch.arange(3 * factor), torch.arange(4 * factor), indexing="ij")
    rows, columns = ((i - half).clamp(0, factor * (n - 1)) / factor for i, n in ((rows, 3), (columns, 4)))
    assert_close(up[0, 0], 4 * rows + columns)


def test_ground_truth_is_sampled_where_upsampling_keeps_values():
    masks = torch.rand(2, 12, 16) > 0.5
    assert torch.equal(sample_masks(masks, 4), masks[:, [2, 6, 10]][:, :, [2, 6, 10, 14]])
    assert sample_masks(masks[:, :10, :15], 4).shape == (2, 2, 4)


def test_the_branch_sums_its_levels_at_the_finest_resolution():
    torch.manual_seed(0)
    branch = MaskBranch(in_channels=6, num_levels=2, channels=4, out_channels=3, num_convs=1).eval()
    fine, coarse, unused = torch.randn(2, 6, 8, 12), torch.randn(2, 6, 4, 6), torch.randn(2, 6, 2, 3)
    fused = branch.refine[0](fine) + aligned_bilinear(branch.refine[1](coarse), 2)
    assert_close(branch([fine, coarse, unused]), branch.tower(fused))
    assert branch([fine, coarse]).shape == (2, 3, 8, 12)


def test_maps_are_cut_or_their_border_repeated():
    x = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    assert fit(x, (1, 2)).tolist() == [[[[1, 2]]]]
    assert fit(x, (2, 4)).tolist() == [[[[1, 2, 2, 2], [3, 4, 4, 4]]]]
    assert fit(x, (3, 1)).tolist() == [[[[1], [3], [3]]]]


@pytest.mark.parametrize("sides", [(13, 7, 4), (13, 6, 3)], ids=["rounded up", "rounded down"])
def test_the_branch_takes_levels_of_any_sides(sides):
    torch.manual_seed(0)
    branch = MaskBranch(in_channels=3, num_levels=3, channels=4, out_channels=2, num_convs=1).eval()
    levels = [torch.randn(1, 3, side, side) for side in sides]
    assert branch(levels).shape == (1, 2, 13, 13)


# ---- masks in pixels ----


@pytest.fixture
def scene():
    """An image of 21 × 30 pixels, padded to 32 × 32, its feature at stride 4, and 5 objects."""
    torch.manual_seed(0)
    head = DynamicMaskHead(in_channels=3, channels=2, num_layers=2)
    boxes = torch.tensor([[0.0, 0, 30, 21], [3, 4, 20, 18], [7.9, 2.2, 9.1, 20.9], [0, 0, 0.5, 0.5], [10, 10, 10, 10]])
    return head, torch.randn(3, 8, 8), torch.randn(5, head.num_filters), boxes


def test_masks_are_upsampled_cut_to_the_image_and_to_their_boxes(scene):
    head, feature, filters, boxes = scene
    masks = head.in_pixels(feature, filters, boxes, stride=4, image_size=(21, 30), output_size=(21, 30))
    whole = aligned_bilinear(head(feature, filters).sigmoid()[None], 4)[0, :, :21, :30] > 0.5
    assert masks.dtype == torch.bool and masks.shape == (5, 21, 30)
    assert torch.equal(masks[0], whole[0]) and masks[0].any() and not masks[0].all()
    expected = torch.zeros(21, 30, dtype=torch.bool)
    expected[4:18, 3:20] = whole[1, 4:18, 3:20]
    assert torch.equal(masks[1], expected)
    expected = torch.zeros(21, 30, dtype=torch.bool)
    expected[2:20, 7:9] = whole[2, 2:20, 7:9]  # corners are rounded towards 0
    assert torch.equal(masks[2], expected)
    assert not masks[3:].any()


def test_masks_have_the_output_s_size(scene):
    head, feature, filters, boxes = scene
    masks = head.in_pixels(feature, filters, boxes * 2, stride=4, image_size=(21, 30), output_size=(42, 60))
    probability = aligned_bilinear(head(feature, filters).sigmoid()[None], 4)[..., :21, :30]
    whole = F.interpolate(probability, size=(42, 60), mode="bilinear", align_corners=False)[0] > 0.5
    assert torch.equal(masks[0], whole[0])


def test_chunks_change_nothing_and_bound_what_lies_beside_the_result(scene, monkeypatch):
    head, feature, filters, boxes = scene
    sizes = dict(stride=4, image_size=(21, 30), output_size=(42, 60))
    filters, boxes = filters.repeat(20, 1), boxes.repeat(20, 1)
    at_once = head.in_pixels(feature, filters, boxes, **sizes)
    monkeypatch.setattr(chunks, "_ENTRIES_CPU", 10_000)
    with Largest() as largest:
        assert torch.equal(head.in_pixels(feature, filters, boxes, **sizes), at_once)
    assert largest.numel == at_once.numel()
    with Largest() as beside:
        head.in_pixels(feature, filters[:1], boxes[:1], **sizes)
    assert beside.numel < 10_000


def test_no_object_gives_no_masks_of_the_output_s_size(scene):
    head, feature, filters, boxes = scene
    masks = head.in_pixels(feature, filters[:0], boxes[:0], stride=4, image_size=(21, 30), output_size=(9, 7))
    assert masks.shape == (0, 9, 7)
