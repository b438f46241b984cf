"""Test-time augmentation: detections in variants of an image are mapped back to the image and merged."""

import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import DatasetMapperTTA
from detectron2.structures import Boxes, Instances
from omegaconf import OmegaConf
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base import get_config
from projects.diffu_base.modeling.augmented_detector import AugmentedDetector
from tests.projects.diffusion_inst.tiny import tiny_model
from tests.support.detection import assert_same_with_masks, image
from tests.support.golden import fill


class BrightSpot(nn.Module):
    """Finds the bright rectangle in each colour channel, and records the sizes of the images in `seen`."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, batched_inputs):
        return [{"instances": self.detect(**inputs)} for inputs in batched_inputs]

    def detect(self, *, image, height, width):
        self.seen.append(tuple(image.shape[-2:]))
        scale = torch.tensor([width / image.shape[2], height / image.shape[1]]).repeat(2)
        found = Instances((height, width))
        bright = image > 128
        spots = [(channel, mask.nonzero()) for channel, mask in enumerate(bright) if mask.any()]
        corners = [torch.cat([at.amin(0).flip(0), at.amax(0).flip(0) + 1]) * scale for _, at in spots]
        found.pred_boxes = Boxes(torch.stack(corners) if corners else torch.zeros(0, 4))
        found.scores = torch.full((len(spots),), image.shape[-1] / 1000)  # the larger the image, the higher
        found.pred_classes = torch.tensor([channel for channel, _ in spots], dtype=torch.int64)
        size = dict(size=(height, width), mode="nearest")
        found.pred_masks = nn.functional.interpolate(bright[None].float(), **size)[0][found.pred_classes] > 0.5
        return found


def augmented(model, min_sizes, *, flip=True, iou_threshold=0.5, max_detections=100):
    variants = DatasetMapperTTA(min_sizes=min_sizes, max_size=1000, flip=flip)
    nms = ClassWiseNMS(iou_threshold, min_passes=1)
    return AugmentedDetector(model, variants=variants, nms=nms, max_detections=max_detections).eval()


def scene(*channels):
    """An image of 80 x 120 pixels, given at half that size, with a rectangle in the upper left of `channels`."""
    pixels = torch.zeros(3, 40, 60, dtype=torch.uint8)
    pixels[list(channels), 10:20, 5:25] = 255
    return {"image": pixels, "height": 80, "width": 120}


def test_detections_of_all_views_are_put_back_and_merged():
    model = BrightSpot()
    (result,) = augmented(model, [40, 80])([scene(0, 2)])
    found = result["instances"]
    assert model.seen == [(40, 60), (40, 60), (80, 120), (80, 120)]
    assert found.pred_classes.sort().values.tolist() == [0, 2] and found.image_size == (80, 120)
    assert_close(found.scores, torch.full((2,), 0.12))  # those of the larger image
    assert_close(found.pred_boxes.tensor, torch.tensor([10.0, 20, 50, 40]).repeat(2, 1), rtol=0, atol=2.0)
    assert found.pred_masks.shape == (2, 80, 120)
    assert found.pred_masks[:, 22:38, 12:48].all() and not found.pred_masks[:, :, 60:].any()


def test_a_view_that_is_mirrored_alone_is_put_back():
    model = BrightSpot()
    variants = DatasetMapperTTA(min_sizes=[40], max_size=1000, flip=True)
    of_mirrored = augmented(model, [40])
    of_mirrored.variants = lambda inputs: variants(inputs)[1:]
    found = of_mirrored([scene(1)])[0]["instances"]
    assert found.pred_boxes.tensor.tolist() == [[10, 20, 50, 40]]
    expected = torch.zeros(1, 80, 120, dtype=torch.bool)
    expected[:, 20:40, 10:50] = True
    assert torch.equal(found.pred_masks, expected)


def test_the_best_are_kept_and_nothing_may_be_found():
    model = augmented(BrightSpot(), [40, 80], max_detections=1)
    first, second = model([scene(0, 1), scene()])
    assert len(first["instances"]) == 1 and len(second["instances"]) == 0
    assert second["instances"].pred_masks.shape == (0, 80, 120)


@torch.no_grad()
def test_a_single_view_of_the_image_s_own_size_is_what_the_model_finds():
    model = fill(tiny_model(), salt=1).eval()
    model.sampler.seed = 0
    view = augmented(model, [64], flip=False, iou_threshold=1.0)
    for inputs in (image(64, 96, 0), {**image(64, 96, 1), "height": 128, "width": 192}):
        assert_same_with_masks(view([inputs])[0]["instances"], model([inputs])[0]["instances"])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_s_mode_is_its_own(training):
    assert (
        AugmentedDetector(BrightSpot().train(training), variants=None, nms=None, max_detections=1).training == training
    )


def test_the_shared_setting_keeps_as_many_as_the_model():
    cfg = OmegaConf.create(flags={"allow_objects": True})
    cfg.model = {"select_box_nums_for_evaluation": 17}
    cfg.dataloader = get_config("common/data/tta")
    built = instantiate({**cfg.dataloader.test_time_augmentation, "model": BrightSpot()})
    assert built.max_detections == 17 and len(built.variants(scene(0))) == 6
