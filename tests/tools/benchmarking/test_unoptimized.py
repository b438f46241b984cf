"""The unoptimized objects compute what the defaults do."""

import copy

import pytest
import torch
from detectron2.config import instantiate
from torch.testing import assert_close

from layers_diffu_detr.mask_head import DynamicMaskHead
from tests.support.detection import image
from tests.support.tiny_models import tiny_config
from tools.benchmarking import unoptimized

pytestmark = pytest.mark.slow

SLOTS = {
    "transformer.ranking": unoptimized.EveryLogitScore,
    "criterion.matcher": unoptimized.EveryClassMatcher,
    "criterion.class_loss": unoptimized.OneHotVarifocalLoss,
}


def losses_and_gradients(config) -> tuple[dict, dict]:
    torch.manual_seed(0)
    model = instantiate(config).train()
    losses = model([image(64, 96, 0, count=3), image(96, 64, 1, count=5)])
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("slot", SLOTS)
def test_losses_and_gradients_are_those_of_the_default(slot: str):
    default = tiny_config("diffu_dino_r50")
    config = copy.deepcopy(default)
    part, name = slot.split(".")
    config[part][name]["_target_"] = SLOTS[slot]
    (losses, gradients), (expected, expected_gradients) = map(losses_and_gradients, (config, default))
    assert_close(losses, expected, rtol=1e-5, atol=1e-6)
    assert_close(gradients, expected_gradients, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("num_objects", [0, 1, 5])
def test_masks_are_those_of_the_default(num_objects: int):
    torch.manual_seed(0)
    feature, boxes = torch.randn(8, 6, 7), torch.tensor([[2.0, 3.0, 40.0, 30.0]]).expand(num_objects, 4)
    default, copying = DynamicMaskHead(), unoptimized.CopyingMaskHead()
    filters = torch.randn(num_objects, default.num_filters)
    assert_close(copying(feature, filters), default(feature, filters))
    sizes = dict(stride=4, image_size=(22, 25), output_size=(44, 50))
    assert torch.equal(*(head.in_pixels(feature, filters, boxes, **sizes) for head in (default, copying)))
