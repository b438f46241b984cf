"""DiffusionInst: inputs and outputs, noise, true masks, errors, learning, mixed precision."""

import copy

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from torch.testing import assert_close

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy
from layers_diffu_detr.ldm.ddim import SinglePass
from layers_diffu_detr.ldm.ensemble import AllPasses
from tests.projects.diffusion_inst.tiny import PROPOSALS, load_model, shrink, tiny_model
from tests.support.detection import detect, image
from tests.support.golden import fill

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared():
    return fill(instantiate(shrink(load_model("models/diffusion_inst_r50"))), salt=1).eval()


@pytest.fixture
def model(shared):
    """The sampler, which tests change, is restored afterwards; tests do not change weights."""
    sampler = shared.sampler
    shared.sampler = copy.copy(sampler)
    shared.sampler.seed = 0
    yield shared.eval()
    shared.sampler = sampler
    shared.zero_grad()


def with_masks(masks, boxes, height=64, width=96):
    instances = Instances((height, width), gt_boxes=Boxes(boxes), gt_classes=torch.zeros(len(boxes), dtype=torch.int64))
    instances.gt_masks = masks
    return {**image(height, width, 0), "instances": instances}


# ---- results ----


@torch.no_grad()
def test_detections_are_instances_with_masks_in_the_output_s_size_best_first(model):
    (small,) = model([image(64, 96, 0)])
    (large,) = model([{**image(64, 96, 0), "height": 128, "width": 288}])
    small, large = small["instances"], large["instances"]
    assert small.image_size == (64, 96) and large.image_size == (128, 288)
    assert set(small.get_fields()) == {"pred_boxes", "scores", "pred_classes", "pred_masks"}
    assert 0 < len(small) == len(large) <= PROPOSALS
    assert (small.scores[:-1] >= small.scores[1:]).all()
    assert small.pred_masks.shape == (len(small), 64, 96) and small.pred_masks.dtype == torch.bool
    assert large.pred_masks.shape == (len(large), 128, 288)
    assert_close(large.pred_boxes.tensor, small.pred_boxes.tensor * torch.tensor([3, 2, 3, 2]), rtol=1e-5, atol=1e-3)
    for mask, (x1, y1, x2, y2) in zip(small.pred_masks, small.pred_boxes.tensor.long().tolist(), strict=True):
        mask[y1:y2, x1:x2] = False
        assert not mask.any()  # a mask ends at its box


@torch.no_grad()
def test_a_model_without_masks_has_none():
    model = tiny_model("models/diffusion_det_r50")
    assert not any("mask" in name or "controller" in name for name in model.state_dict())
    assert set(model([image(64, 96, 0)])[0]["instances"].get_fields()) == {"pred_boxes", "scores", "pred_classes"}


@torch.no_grad()
def test_overlapping_detections_of_a_class_are_suppressed_after_a_single_step(model):
    found = model([image(64, 96, 0)])[0]["instances"]
    assert len(found) < PROPOSALS
    model.sampler.merge = None
    assert len(model([image(64, 96, 0)])[0]["instances"]) > len(found)


@torch.no_grad()
def test_as_released_the_last_step_is_not_pooled(model, monkeypatch):
    monkeypatch.setattr(model, "select_box_nums_for_evaluation", 10_000)  # all of them
    model.sampler.num_steps, model.sampler.merge = 4, None
    released = model([image(64, 96, 0)])[0]["instances"].scores
    last = model.trajectory([image(64, 96, 0)])[0][-1]["scores"]
    model.sampler.ensemble = AllPasses()
    pooled = model([image(64, 96, 0)])[0]["instances"].scores
    best = last.max()
    assert ((pooled - best).abs() < 1e-6).any() and not ((released - best).abs() < 1e-6).any()


# ---- noise ----


@torch.no_grad()
def test_without_a_seed_noise_comes_from_the_global_generator(model):
    model.sampler.seed = None

    def scores(seed):
        torch.manual_seed(seed)
        return model([image(64, 96, 0)])[0]["instances"].scores

    assert_close(scores(0), scores(0), rtol=0, atol=0)
    first, other = scores(0), scores(1)
    assert len(first) != len(other) or not torch.equal(first, other)


def test_a_trajectory_tells_each_pass_from_noise_to_boxes(model):
    model.sampler.num_steps, model.sampler.seed = 4, None
    inputs = [{**image(64, 96, 0), "height": 128, "width": 192}, image(64, 64, 1)]
    torch.manual_seed(3)
    first, second = model.trajectory(inputs)
    torch.manual_seed(3)
    noise = torch.randn(1, PROPOSALS, 4)[0]
    boxes = box_cxcywh_to_xyxy((noise.clamp(-2, 2) / 2 + 1) / 2) * torch.tensor([192, 128, 192, 128])
    assert_close(first[0]["boxes"], boxes)
    for passes in (first, second):
        assert [each["t"] for each in passes] == [999, 749, 499, 249]
        assert all(each["pred_boxes"].shape == (PROPOSALS, 4) for each in passes)
        assert not any(each["pred_boxes"].requires_grad for each in passes)


# ---- ground truth ----


def test_targets_have_masks_in_the_mask_feature_s_resolution(model):
    masks = torch.rand(2, 64, 96) > 0.5
    (target,) = model.prepare_targets([with_masks(BitMasks(masks), torch.tensor([[10.0, 10, 60, 50]] * 2))])
    assert torch.equal(target["masks"], masks[:, 2::4, 2::4])
    assert target["masks"].shape == (2, 16, 24) and target["boxes"].shape == (2, 4)


def test_ground_truth_without_masks_is_refused(model):
    inputs = image(64, 96, 0, count=2)
    inputs["instances"].remove("gt_masks")
    with pytest.raises(ValueError, match="gt_masks"):
        model.train()([inputs])


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask_features": ["p2", "p3"]},
        {"mask_features": ["p3", "p4", "p6"]},  # there is no p6
        {"mask_features": ["p2", "p4", "p5"]},  # p4 is not twice as coarse as p2
        {"mask_features": ["p4", "p3", "p2"]},
        {"in_features": ["p2", "res3"]},
        {"num_proposals": 0},
        {"num_heads": 0},
    ],
    ids=str,
)
def test_sizes_and_maps_that_do_not_fit_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"model.{next(iter(wrong))} "):
        tiny_model(**wrong)


def test_a_sampler_that_starts_from_proposals_is_refused():
    with pytest.raises(ValueError, match="model.sampler is SinglePass"):
        tiny_model(sampler=L(SinglePass)())


# ---- learning ----


def test_it_learns_two_images():
    """A few updates on two images almost halve the loss of their boxes and masks."""
    torch.manual_seed(0)
    model = tiny_model(num_heads=1).train()
    inputs = [image(64, 96, 0, count=2), image(64, 96, 1, count=3)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for _ in range(25):
        torch.manual_seed(0)
        losses = model(inputs)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert sum(history[-1].values()) < 0.6 * sum(history[0].values())
    assert history[-1]["loss_mask"] < history[0]["loss_mask"]


# ---- mixed precision ----


@pytest.mark.parametrize("training", [True, False])
def test_bf16_is_finite_with_boxes_in_float32(model, training):
    inputs = [image(64, 96, 0, count=2), image(80, 64, 1, count=0)]
    with torch.autocast("cpu", torch.bfloat16):
        if training:
            losses = model.train()(inputs)
            sum(losses.values()).backward()
            assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
        else:
            found = detect(model, inputs, num_steps=2)[0]
            assert len(found) > 0 and found.pred_boxes.tensor.dtype == found.scores.dtype == torch.float32
