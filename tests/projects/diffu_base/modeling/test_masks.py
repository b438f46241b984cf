"""True masks of every kind, and masks in the place of filters."""

import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks

from layers_diffu_detr.mask_head import DynamicMaskHead
from projects.diffu_base.modeling.masks import add_masks, ground_truth_masks

TRIANGLE = [10.0, 10.0, 60.0, 10.0, 10.0, 50.0]


def instances(**fields):
    return Instances((64, 96), **fields)


def test_polygons_bit_masks_and_tensors_are_the_same_ground_truth():
    polygons = PolygonMasks([[TRIANGLE]])
    bits = BitMasks.from_polygon_masks(polygons, 64, 96)
    expected = bits.tensor[:, 2::4, 2::4]
    assert expected.any() and not expected.all()
    for masks in (polygons, bits, bits.tensor):
        found = ground_truth_masks(instances(gt_masks=masks), stride=4)
        assert torch.equal(found, expected) and found.shape == (1, 16, 24) and found.dtype == torch.bool


@pytest.mark.parametrize("masks", [PolygonMasks([]), BitMasks(torch.zeros(0, 64, 96, dtype=torch.bool))])
def test_an_image_without_objects_has_no_masks(masks):
    assert ground_truth_masks(instances(gt_masks=masks), stride=4).shape == (0, 16, 24)


def test_instances_without_masks_are_refused():
    with pytest.raises(ValueError, match="gt_masks.*mask_on"):
        ground_truth_masks(instances(), stride=4)


def test_masks_take_the_place_of_filters_in_the_output_s_size():
    head = DynamicMaskHead(in_channels=1, channels=1, num_layers=1)  # a filter is a weight and a bias
    feature = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])  # positive in the upper half
    boxes = Boxes(torch.tensor([[0.0, 0, 8, 16], [0, 0, 16, 16]]))
    results = [{"instances": Instances((16, 16), pred_boxes=boxes, filters=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))}]
    image = torch.zeros(3, 8, 8)
    add_masks(results, [feature], [image], [{"height": 16, "width": 16}], head, stride=4)
    found = results[0]["instances"]
    assert not found.has("filters") and found.pred_masks.shape == (2, 16, 16)
    upper, lower = found.pred_masks
    assert upper[:8, :8].all() and not upper[13:].any() and not upper[:, 8:].any()  # inside its box alone
    assert lower[13:].all() and not lower[:8].any()
