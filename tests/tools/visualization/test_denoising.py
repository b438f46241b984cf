"""Pictures of denoising, of models with and without masks."""

import pytest
import torch
from torch.testing import assert_close

from datasets_utils.register import CLASS_NAMES
from layers_diffu_detr.ldm.ensemble import AllButLastPass, AllPasses
from tests.projects.diffusion_inst.tiny import tiny_model as tiny_diffusion_inst
from tests.support.detection import image
from tests.support.golden import fill
from tests.support.tiny_models import tiny_model
from tests.tools.pictures import MAPPER, assert_picture, panels
from tools.visualization.denoising import denoise, denoising_steps

pytestmark = pytest.mark.slow

MODELS = {
    "diffu_detr": lambda: tiny_model("diffu_detr_r50"),
    "diffu_dino_inst": lambda: tiny_model("diffu_dino_inst_r50"),
    "diffusion_inst": tiny_diffusion_inst,
}


@pytest.fixture(params=MODELS)
def model(request):
    model = fill(MODELS[request.param](), salt=1).eval()
    model.sampler.num_steps = 3
    return model


def has_masks(model):
    return hasattr(model, "mask_head")


def test_denoising_has_a_column_per_pass_and_with_masks_a_row_for_them(scenes, model, tmp_path):
    model.train()
    path = denoising_steps(
        model, scenes[0], MAPPER, tmp_path / "steps.png", class_names=CLASS_NAMES, score_threshold=0.0
    )
    assert_picture(path, 1200, 600)
    assert panels(path) == (3 if has_masks(model) else 2, 4)
    assert model.training


def test_a_single_pass_without_detections_is_drawn(scenes, model, tmp_path):
    model.sampler.num_steps = 1
    path = denoising_steps(model, scenes[0], MAPPER, tmp_path / "one.png", class_names=CLASS_NAMES, score_threshold=2.0)
    assert panels(path) == (3 if has_masks(model) else 2, 2)


@torch.no_grad()
def test_the_passes_detections_together_are_the_model_s_where_all_are_pooled(model):
    model.sampler.seed, model.sampler.merge, model.sampler.ensemble = 0, None, AllPasses()
    model.select_box_nums_for_evaluation = 1000  # all of them
    inputs = image(64, 96, 0)
    together = model([inputs])[0]["instances"]
    _, _, by_pass = denoise(model, inputs)
    assert len(by_pass) == 3 and all(each.has("pred_masks") == has_masks(model) for each in by_pass)
    scores, order = torch.cat([each.scores for each in by_pass]).sort(descending=True, stable=True)
    assert_close(scores, together.scores)
    if has_masks(model):
        areas = torch.cat([each.pred_masks.flatten(1).sum(1) for each in by_pass])
        assert areas.any()
        assert_close(areas[order].sort().values, together.pred_masks.flatten(1).sum(1).sort().values)


@torch.no_grad()
def test_passes_come_from_one_noise_and_leave_the_sampler_as_it_was(model):
    ensemble = model.sampler.ensemble = AllButLastPass()
    model.sampler.seed = None
    _, _, (first, *_) = denoise(model, image(64, 96, 0))
    _, _, (again, *_) = denoise(model, image(64, 96, 0))
    assert_close(first.scores, again.scores, rtol=0, atol=0)
    assert model.sampler.ensemble is ensemble and model.sampler.seed is None
