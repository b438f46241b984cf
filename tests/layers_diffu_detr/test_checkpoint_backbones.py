"""Weights of pre-trained backbones and released Swin detectors: their names on load, and what is refused."""

import copy
from pathlib import Path

import pytest
import timm
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import FPN
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.backbones import swin as swin_config
from projects.diffu_base.modeling.backbones.swin import SwinTransformer
from projects.diffu_base.modeling.backbones.timm_backbone import TimmBackbone
from tests.support.golden import fill, full_size_keys

MODELS = Path(__file__).resolve().parents[2] / "projects/diffu_dino/configs/models"


def tiny_swin(window_size=7):
    return SwinTransformer(8, (1, 2), (1, 2), window_size=window_size, out_indices=(0, 1))


BACKBONES = {
    "swin": tiny_swin,
    "pyramid": lambda: FPN(tiny_swin(), ["p0", "p1"], 16),
    "timm": lambda: TimmBackbone("resnet18"),
}


class Detector(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.neck = nn.Linear(8, 8)


def detector(kind, salt):
    return fill(Detector(BACKBONES[kind]()), salt)


def pretraining(kind, salt=2):
    """What a file of that backbone's pre-training holds, and what the detector's state dict must then have."""
    if kind == "timm":
        weights = fill(timm.create_model("resnet18"), salt).state_dict()
        source = {name: value for name, value in weights.items() if not name.startswith(("layer4.", "fc."))}
        return weights, {f"backbone.features.{name}": value for name, value in source.items()}
    swin = fill(tiny_swin(), salt).state_dict()
    swin = {name: value for name, value in swin.items() if not name.startswith(("norm0.", "norm1."))}
    more = {"norm.weight": 16, "norm.bias": 16, "head.weight": (5, 16), "head.bias": 5}
    more |= {"layers.1.blocks.1.attn_mask": (4, 49, 49), "layers.0.blocks.0.attn.relative_position_index": (49, 49)}
    prefix = "backbone.bottom_up." if kind == "pyramid" else "backbone."
    file = {**swin, **{name: torch.ones(shape) for name, shape in more.items()}}
    return {"model": file}, {prefix + name: value for name, value in swin.items()}


@pytest.mark.parametrize("kind", BACKBONES)
def test_pre_training_fills_the_backbone_and_nothing_else(kind, tmp_path):
    model = detector(kind, 1)
    before = copy.deepcopy(model.state_dict())
    file, expected = pretraining(kind)
    torch.save(file, tmp_path / "pretraining.pth")
    report = load_weights(model, tmp_path / "pretraining.pth")
    assert_close(dict(model.state_dict()), {**before, **expected}, rtol=0, atol=0)
    assert set(report.loaded) == set(expected)
    assert set(report.initialised) == set(before) - set(expected)
    assert set(report.ignored.values()) == {"part of the pre-training that the backbone does not have"}


@pytest.mark.parametrize("kind", BACKBONES)
def test_own_checkpoints_round_trip(kind, tmp_path):
    model, other = detector(kind, 1), detector(kind, 2)
    torch.save({"model": other.state_dict()}, tmp_path / "model.pth")
    report = load_weights(model, tmp_path / "model.pth")
    assert_close(dict(model.state_dict()), dict(other.state_dict()), rtol=0, atol=0)
    assert not (report.renamed or report.ignored or report.initialised)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("content", ["other names", "classifier", "nothing", "other model"])
def test_a_backbone_never_keeps_random_weights_where_a_file_was_given(kind, content):
    """The model is unchanged, and the message lists what is missing."""
    model = detector(kind, 1)
    before = copy.deepcopy(model.state_dict())
    file = pretraining(kind)[0]
    file = file.get("model", file)
    file = {
        "other names": {f"encoder.{name}": value for name, value in file.items()},
        "classifier": {name: value for name, value in file.items() if name.startswith(("head.", "fc."))},
        "nothing": {},
        "other model": {name: value for name, value in model.state_dict().items() if name.startswith("neck.")},
    }[content]
    with pytest.raises(ValueError, match=r"missing:\n  backbone\."):
        load_weights(model, file)
    assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", BACKBONES)
def test_part_of_a_pre_training_is_refused(kind):
    file = pretraining(kind)[0]
    file = file.get("model", file)
    name = next(name for name in file if "attn.qkv" in name or "conv2" in name)
    del file[name]
    with pytest.raises(ValueError, match=rf"1 missing:\n  backbone\..*{name}"):
        load_weights(detector(kind, 1), file)


def test_pre_training_with_another_window_is_refused():
    file = fill(SwinTransformer(8, (1, 2), (1, 2), window_size=12, out_indices=(1,)), 2).state_dict()
    with pytest.raises(ValueError, match=r"position_bias_table \(529, 1\), the model has \(169, 1\)"):
        load_weights(detector("swin", 1), file)


def test_a_deeper_model_s_weights_are_refused():
    with pytest.raises(ValueError, match="unexpected:\n  layer1.2.conv1.weight"):
        load_weights(detector("timm", 1), timm.create_model("resnet34").state_dict())


def test_a_detector_s_checkpoint_has_the_output_norms():
    """A file of a pre-training may lack them, a detector's checkpoint must not."""
    state = detector("swin", 2).state_dict()
    del state["backbone.norm1.weight"]
    with pytest.raises(ValueError, match=r"1 missing:\n  backbone.norm1.weight \(16,\)"):
        load_weights(detector("swin", 1), state)


def weightless(shapes):
    """A state dict of expanded zeros, which need no memory. A model on the meta device has no values to overwrite."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def test_released_diffu_dino_with_swin_fits_its_config():
    cfg = LazyConfig.load(str(MODELS / "diffu_dino_swin_base_384.py"))
    cfg.model.num_classes = 13204
    with torch.device("meta"):
        model = instantiate(cfg.model)
    names = full_size_keys("diffu_dino_swin_b_v3det")
    report = load_weights(model, weightless(names))
    assert not report.initialised and not report.renamed
    assert set(report.loaded) == set(model.state_dict())
    ignored = {name for name in names if name not in model.state_dict()}
    assert set(report.ignored) == ignored
    assert all("schedule" in report.ignored[n] or n.endswith(".relative_position_index") for n in ignored)


def test_released_diffusion_inst_with_swin_fits_a_pyramid():
    swin = swin_config("base", image_size=224)
    swin.out_indices = (0, 1, 2, 3)
    with torch.device("meta"):
        model = nn.Module()
        model.backbone = FPN(instantiate(swin), ["p0", "p1", "p2", "p3"], 256)
    names = {n: s for n, s in full_size_keys("diffusion_inst_swin_b_coco").items() if n.startswith("backbone.")}
    report = load_weights(model, weightless(names))
    assert set(report.loaded) == set(model.state_dict())
    assert all(name.endswith(".relative_position_index") for name in report.ignored)
