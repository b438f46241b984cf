"""One key of the config reaches every part that depends on it."""

import pytest
import torch
from detectron2.config import instantiate
from torch import nn

from tests.projects.diffusion_inst.tiny import CONFIGS, load_model

MODELS = sorted(f"models/{path.stem}" for path in CONFIGS.glob("models/*.py"))


def build(name: str, **overrides: int) -> nn.Module:
    model = load_model(name)
    model.update(overrides)
    with torch.device("meta"):
        return instantiate(model)


@pytest.mark.parametrize("name", MODELS)
def test_classes_heads_and_proposals_reach_every_part(name):
    model = build(name, num_classes=5, num_heads=3, num_proposals=11)
    assert [head.class_logits.out_features for head in model.head.head_series] == [5, 5, 5]
    assert model.criterion.num_classes == model.num_classes == 5
    assert {key.rpartition("_")[2] for key in model.criterion.weight_dict if key[-1].isdigit()} == {"0", "1"}
    assert model.num_boxes == model.select_box_nums_for_evaluation == 11
    assert model.sampler.num_steps == 1


@pytest.mark.parametrize("name", MODELS)
def test_embedding_dimension_reaches_every_part(name):
    model = build(name, embed_dim=64)
    assert {shape.channels for shape in model.backbone.output_shape().values()} == {64}
    (head, *_) = model.head.head_series
    assert head.self_attn.embed_dim == head.inst_interact.out_layer.out_features == 64
    assert model.head.time_mlp[1].in_features == 64
    if hasattr(model, "mask_branch"):
        assert model.mask_branch.refine[0][0].in_channels == 64


@pytest.mark.parametrize("sizes", [(8, 8, 3), (4, 6, 2), (16, 8, 1)])
def test_the_mask_head_s_sizes_reach_branch_heads_and_criterion(sizes):
    names = ("in_channels", "channels", "num_layers")
    model = load_model("models/diffusion_inst_r50")
    model.mask_head.update(dict(zip(names, sizes, strict=True)))
    with torch.device("meta"):
        model = instantiate(model)
    assert model.mask_branch.tower[-1].out_channels == sizes[0]
    assert {head.controller.out_features for head in model.head.head_series} == {model.mask_head.num_filters}
    assert model.criterion.mask_loss.mask_head.shapes == model.mask_head.shapes


def test_diffusion_inst_is_diffusion_det_and_masks():
    det, inst = (set(build(f"models/{name}_r50").state_dict()) for name in ("diffusion_det", "diffusion_inst"))
    assert det < inst
    assert all(name.startswith("mask_branch.") or ".controller." in name for name in inst - det)
