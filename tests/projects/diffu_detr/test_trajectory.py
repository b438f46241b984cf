"""How the boxes of DiffuDETR came about, pass by pass, for pictures."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy
from projects.diffu_detr.modeling.meta_arch import DiffuDETR
from tests.support.detection import image
from tests.support.golden import fill
from tests.support.tiny_models import tiny_model

QUERIES = 12


def build(name: str) -> DiffuDETR:
    return fill(tiny_model(name, num_queries=QUERIES), salt=1)


@pytest.fixture
def model() -> DiffuDETR:
    return build("diffu_detr_r50")


def test_a_trajectory_tells_each_pass_from_noise_to_boxes(model):
    inputs = [{**image(64, 96, 0), "height": 128, "width": 192}, image(64, 64, 1)]
    torch.manual_seed(3)
    trajectories = model.trajectory(inputs)
    torch.manual_seed(3)
    noise = torch.randn(2, QUERIES, 4)
    assert len(trajectories) == 2
    for i, (passes, (height, width)) in enumerate(zip(trajectories, ((128, 192), (64, 64)), strict=True)):
        assert [each["t"] for each in passes] == [99, 66, 33]
        size = torch.tensor([width, height, width, height])
        boxes = (noise[i].clamp(-2, 2) / 2 + 1) / 2  # centres lie in the image
        assert_close(passes[0]["boxes"], box_cxcywh_to_xyxy(boxes) * size)
        for each in passes:
            assert set(each) == {"t", "boxes", "pred_boxes", "scores", "classes"}
            assert each["boxes"].shape == each["pred_boxes"].shape == (QUERIES, 4)
            assert each["scores"].shape == each["classes"].shape == (QUERIES,)
            assert each["classes"].dtype == torch.int64 and each["classes"].max() < 7
            assert not any(each[key].requires_grad for key in ("boxes", "pred_boxes", "scores"))


@torch.no_grad()
def test_the_best_detection_of_a_single_pass_is_the_best_of_its_trajectory(model):
    model.sampler.num_steps, model.sampler.seed = 1, 0
    ((only,),) = model.trajectory([image(64, 96, 0)])
    found = model([image(64, 96, 0)])[0]["instances"]
    best = only["scores"].argmax()
    assert_close(found.scores[0], only["scores"][best])
    box = only["pred_boxes"][best].clamp(min=0).minimum(torch.tensor([96.0, 64.0, 96.0, 64.0]))
    assert_close(found.pred_boxes.tensor[0], box)


def test_a_baseline_has_no_trajectory():
    with pytest.raises(ValueError, match="without diffusion has no denoising trajectory"):
        build("deformable_detr_r50").trajectory([image(64, 96, 0)])
