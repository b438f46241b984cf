"""Strict loading: what is accepted, and what is refused."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from detectron2.config import LazyConfig, instantiate
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from tests.support.golden import fill, full_size_keys

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
CONFIGS = PROJECTS / "diffu_dino/configs/dino-resnet"


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))


class Conv(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args, bias=False)
        self.norm = Norm(args[1])


class Backbone(nn.Module):
    """A backbone with the names of detectron2's ResNet, and a single block."""

    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleDict({"conv1": Conv(3, 4, 7)})
        block = {"conv1": Conv(4, 4, 1), "conv2": Conv(4, 8, 3), "shortcut": Conv(4, 8, 1)}
        self.res2 = nn.ModuleList([nn.ModuleDict(block)])


class Model(nn.Module):
    """A model with backbone, neck, and heads that its decoder lists too."""

    def __init__(self, shares_heads=True):
        super().__init__()
        self.backbone = Backbone()
        self.neck = nn.Linear(8, 8)
        self.class_embed = nn.ModuleList(nn.Linear(8, 3) for _ in range(2))
        self.transformer = nn.Module()
        self.transformer.decoder = nn.Module()
        if shares_heads:
            self.transformer.decoder.class_embed = self.class_embed
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1), persistent=False)


@pytest.fixture
def model():
    return fill(Model(), 1)


@pytest.fixture
def other():
    return fill(Model(), 2)


def assert_same(a, b):
    assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


TORCHVISION = {
    "backbone.stem.conv1.weight": "conv1.weight",
    "backbone.res2.0.conv1.weight": "layer1.0.conv1.weight",
    "backbone.res2.0.conv2.weight": "layer1.0.conv2.weight",
    "backbone.res2.0.shortcut.weight": "layer1.0.downsample.0.weight",
    **{
        f"backbone.{ours}.norm.{leaf}": f"{theirs}.{leaf}"
        for ours, theirs in {
            "stem.conv1": "bn1",
            "res2.0.conv1": "layer1.0.bn1",
            "res2.0.conv2": "layer1.0.bn2",
            "res2.0.shortcut": "layer1.0.downsample.1",
        }.items()
        for leaf in ("weight", "bias", "running_mean", "running_var")
    },
}


def backbone_state(model):
    return {name: value for name, value in model.state_dict().items() if name.startswith("backbone.")}


def torchvision_state(model):
    state = {TORCHVISION[name]: value.clone() for name, value in backbone_state(model).items()}
    extra = {"bn1.num_batches_tracked": torch.tensor(3), "fc.weight": torch.ones(5, 8), "fc.bias": torch.ones(5)}
    return {**state, **extra}


def test_own_checkpoint_round_trip(model, other, tmp_path):
    torch.save({"model": other.state_dict(), "iteration": 7, "optimizer": {"state": {}}}, tmp_path / "model.pth")
    report = load_weights(model, tmp_path / "model.pth")
    assert_same(model, other)
    assert set(report.loaded) == set(model.state_dict())
    assert not (report.renamed or report.ignored or report.initialised)


@pytest.mark.parametrize("wrap", [dict, lambda s: {"model": s}, lambda s: {"state_dict": s}, lambda s: OrderedDict(s)])
def test_wrappers_and_prefixes(model, other, wrap):
    load_weights(model, wrap({f"module.{name}": value for name, value in other.state_dict().items()}))
    assert_same(model, other)


def test_moving_average_is_chosen_by_keyword(model, other):
    # detrex saves averages under the first name of each parameter alone, and with buffers that state dicts leave out.
    average = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    checkpoint = {"model": model.state_dict(), "ema_state": average}
    report = load_weights(model, checkpoint, select="ema")
    assert_same(model, other)
    assert report.ignored == {"pixel_mean": "buffer that the model computes"}
    with pytest.raises(ValueError, match="no moving average"):
        load_weights(model, {"model": other.state_dict()}, select="ema")
    with pytest.raises(ValueError, match="select is 'best'"):
        load_weights(model, checkpoint, select="best")


def test_released_buffers_are_ignored_with_a_reason(model, other):
    extra = {name: torch.zeros(9) for name in ("betas", "sqrt_recipm1_alphas_cumprod", "posterior_mean_coef2")}
    report = load_weights(model, {**other.state_dict(), **extra, "pixel_std": torch.ones(3, 1, 1)})
    assert_same(model, other)
    assert set(report.ignored) == {*extra, "pixel_std"}
    assert "schedule" in report.ignored["betas"] and "pixel" in report.ignored["pixel_std"]


def test_heads_may_be_listed_once_or_twice(other):
    state = other.state_dict()
    decoder_alone = {n: v for n, v in state.items() if not n.startswith("class_embed.")}
    model_alone = {n: v for n, v in state.items() if not n.startswith("transformer.")}
    for given in (state, decoder_alone, model_alone):
        model = fill(Model(), 1)
        load_weights(model, given)
        assert_same(model, other)
    unshared = fill(Model(shares_heads=False), 1)
    report = load_weights(unshared, state)
    assert_close(unshared.class_embed[1].weight, other.class_embed[1].weight)
    assert "transformer.decoder.class_embed.0.weight" in report.ignored.keys() | report.renamed.keys()


def test_heads_that_differ_are_refused(model, other):
    state = {name: value.clone() for name, value in other.state_dict().items()}
    state["class_embed.1.bias"] += 1
    with pytest.raises(ValueError, match="class_embed.1.bias name one tensor"):
        load_weights(model, state)


def test_mismatches_are_listed_and_change_nothing(model, other):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = dict(other.state_dict())
    del state["neck.bias"]
    state["neck.weight"] = torch.zeros(8, 9)
    state["roi_heads.weight"] = torch.zeros(2)
    with pytest.raises(ValueError) as error:
        load_weights(model, state)
    message = str(error.value)
    assert "1 missing:\n  neck.bias (8,)" in message
    assert "1 unexpected:\n  roi_heads.weight (2,)" in message
    assert "1 other shape:\n  neck.weight (8, 9), the model has (8, 8)" in message
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_an_unrelated_checkpoint_is_refused_by_its_own_names(model):
    with pytest.raises(ValueError, match="1 unexpected:\n  encoder.weight"):
        load_weights(model, {"encoder.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="missing"):
        load_weights(model, {})


def test_torchvision_backbone(model, other, tmp_path):
    untouched = model.neck.weight.clone()
    torch.save(torchvision_state(other), tmp_path / "resnet.pth")
    report = load_weights(model, tmp_path / "resnet.pth")
    assert_close(backbone_state(model), backbone_state(other))
    assert_close(model.neck.weight, untouched)
    assert set(report.loaded) == set(backbone_state(model))
    assert set(report.initialised) == set(model.state_dict()) - set(report.loaded)
    assert report.renamed["layer1.0.bn2.running_var"] == "backbone.res2.0.conv2.norm.running_var"
    assert set(report.ignored) == {"fc.weight", "fc.bias", "bn1.num_batches_tracked"}
    assert "neck (2)" in str(report)


def test_detectron2_backbone_pickle(model, other, tmp_path):
    state = {n.removeprefix("backbone."): v.numpy() for n, v in backbone_state(other).items()}
    state["stem.fc.weight"] = np.zeros((5, 8), np.float32)
    content = {"model": state, "__author__": "torchvision", "matching_heuristics": True}
    for protocol in (2, 4, 5):
        (tmp_path / "R.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        fill(model, 1)
        report = load_weights(model, tmp_path / "R.pkl")
        assert_close(backbone_state(model), backbone_state(other))
        assert list(report.ignored) == ["stem.fc.weight"]


def test_own_names_of_a_whole_backbone(model, other):
    report = load_weights(model, backbone_state(other))
    assert_close(backbone_state(model), backbone_state(other))
    assert report.initialised


@pytest.mark.parametrize("make", [torchvision_state, backbone_state])
def test_part_of_a_backbone_is_refused(model, other, make):
    state = make(other)
    state.pop(next(name for name in state if "res2.0.conv1" in name or "layer1.0.conv1" in name))
    with pytest.raises(ValueError, match="1 missing:\n  backbone.res2.0.conv1.weight"):
        load_weights(model, state)


def test_a_backbone_with_more_is_refused(model, other):
    with pytest.raises(ValueError, match="3 missing|missing"):
        load_weights(model, {**backbone_state(other), "neck.weight": other.neck.weight})
    with pytest.raises(ValueError, match="1 unexpected:\n  layer2.0.conv1.weight"):
        load_weights(model, {**torchvision_state(other), "layer2.0.conv1.weight": torch.zeros(1)})


def test_safetensors(model, other, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = {name: value for name, value in other.state_dict().items() if not name.startswith("transformer.")}
    save_file(state, tmp_path / "model.safetensors")
    load_weights(model, tmp_path / "model.safetensors")
    assert_same(model, other)


@pytest.mark.parametrize("value", [np.array([object], dtype=object), "text", 3])
def test_values_that_are_no_tensors_are_named(model, value):
    with pytest.raises(ValueError, match="'neck.weight' is a"):
        load_weights(model, {"neck.weight": value})


@pytest.mark.parametrize(
    ("keys", "config"),
    [
        ("diffu_dino_r50_coco", "diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep"),
        ("diffu_dino_r101_coco", "diffu_dino/configs/dino-resnet/coco-r101-4scales-12ep"),
        ("diffu_dino_r50_lvis", "diffu_dino/configs/dino-resnet/lvis-r50-4scales-12ep"),
        ("diffu_dino_swin_b_v3det", "diffu_dino/configs/dino-swin/v3det-swin-4scales-24ep"),
        ("dino_r50_coco", "diffu_dino/configs/dino-resnet/baseline-dino-r50-4scales-12ep"),
        ("dino_r50_coco", "diffu_dino/configs/dino-resnet/baseline-dino-r50-4scales-36ep"),
        (
            "deformable_detr_r50_two_stage_coco",
            "diffu_detr/configs/baseline-deformable-detr-r50-4scales-50ep",
        ),
        ("diffu_align_detr_r50_coco", "diffu_align_detr/configs/coco-r50-4scales-24ep"),
        ("align_detr_r50_coco", "diffu_align_detr/configs/baseline-aligndetr-r50-4scales-24ep"),
    ],
)
def test_published_names_fit_the_configs(keys, config):
    with torch.device("meta"):
        model = instantiate(LazyConfig.load(str(PROJECTS / f"{config}.py")).model)
    names = full_size_keys(keys)
    # Expanded zeros need no memory, and a model on the meta device has no values that they could overwrite.
    report = load_weights(model, {name: torch.zeros(()).expand(shape) for name, shape in names.items()})
    assert not report.initialised and not report.renamed
    assert set(report.loaded) == set(model.state_dict())
    assert set(names) - set(report.ignored) <= set(model.state_dict())
    reasons = {"schedule buffer, determined by the config", "second name of a head", "buffer that the model computes"}
    assert set(report.ignored.values()) <= reasons


@pytest.mark.parametrize(("depth", "config"), [(50, "coco-r50-4scales-50ep"), (101, "coco-r101-4scales-12ep")])
def test_torchvision_resnets_fit_the_backbones(depth, config):
    with torch.device("meta"):
        model = instantiate(LazyConfig.load(str(CONFIGS / f"{config}.py")).model)
        state = getattr(torchvision.models, f"resnet{depth}")(weights=None).state_dict()
    report = load_weights(model, state)
    assert set(report.loaded) == {name for name in model.state_dict() if name.startswith("backbone.")}
    assert all(name.startswith("fc.") or name.endswith("num_batches_tracked") for name in report.ignored)
