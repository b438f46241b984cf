"""Published checkpoints fit the configs."""

import pytest
import torch
from detectron2.config import instantiate
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from tests.projects.diffusion_inst.tiny import load_model, tiny_model
from tests.support.golden import full_size_keys


@pytest.mark.parametrize(
    ("keys", "config"),
    [
        ("diffusion_inst_r50_coco", "coco-r50-5x"),
        ("diffusion_inst_r101_coco", "coco-r101-5x"),
        ("diffusion_inst_swin_b_coco", "coco-swinb-5x"),
    ],
)
def test_published_names_fit(keys, config):
    with torch.device("meta"):
        model = instantiate(load_model(config))
    names = full_size_keys(keys)
    # Expanded zeros need no memory, and a model on the meta device has no values that they could overwrite.
    report = load_weights(model, {name: torch.zeros(()).expand(shape) for name, shape in names.items()})
    assert not report.initialised and set(report.loaded) == set(model.state_dict())
    assert set(report.ignored.values()) <= {
        "schedule buffer, determined by the config",
        "buffer that the model computes",
    }
    assert {(old.split(".")[1], new.split(".")[1]) for old, new in report.renamed.items()} == {
        ("mask_refine", "refine"), ("mask_head", "tower")
    }  # fmt: skip


def test_released_values_arrive_where_their_names_say():
    torch.manual_seed(0)
    model, other = tiny_model(), tiny_model()
    released = {
        name.replace("mask_branch.refine", "head.mask_refine").replace("mask_branch.tower", "head.mask_head"): value
        for name, value in other.state_dict().items()
    }
    report = load_weights(model, released | {"criterion.fed_loss_cls_weights": torch.ones(3)})
    assert_close(dict(model.state_dict()), dict(other.state_dict()), rtol=0, atol=0)
    assert report.ignored == {"criterion.fed_loss_cls_weights": "class frequencies, determined by the config"}


@pytest.mark.parametrize("config", ["coco-r50-5x", "coco-swinb-5x"])
def test_weights_of_pre_training_fit_the_backbone_under_the_pyramid(config):
    with torch.device("meta"):
        model = instantiate(load_model(config))
    bottom_up = model.backbone.bottom_up
    if hasattr(bottom_up, "pretrained_names"):
        names = {theirs: ours for theirs, ours in bottom_up.pretrained_names().items() if ours}
    else:
        names = {name: name for name in bottom_up.state_dict()}
    report = load_weights(model, {theirs: bottom_up.state_dict()[ours] for theirs, ours in names.items()})
    assert set(report.loaded) == {f"backbone.bottom_up.{ours}" for ours in names.values()}
