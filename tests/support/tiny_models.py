"""Tiny models of the project's own configs, for tests: the reference implementations' stub sizes."""

from pathlib import Path

import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, instantiate
from detectron2.layers import ShapeSpec
from omegaconf import DictConfig

from tests.support.golden import TinyBackbone

ROOT = Path(__file__).resolve().parents[2]


def tiny_config(name: str, **overrides) -> DictConfig:
    """The model config `name` (`dino_r50`, `diffu_aligndetr_r50`, ...) made tiny; `overrides` by key."""
    (path,) = ROOT.glob(f"projects/*/configs/models/{name}.py")
    return shrink(LazyConfig.load(str(path)).model, **overrides)


def shrink(model: DictConfig, **overrides) -> DictConfig:
    """The model tree `model`, changed in place to be small, on the stub backbone; `overrides` by key."""
    model.backbone = L(TinyBackbone)()
    model.neck.input_shapes = {name: ShapeSpec(channels=c) for name, c in (("res3", 16), ("res4", 24), ("res5", 32))}
    model.neck.in_features = list(model.neck.input_shapes)
    model.transformer.encoder.num_layers = 1
    model.transformer.decoder.num_layers = 2
    for part in (model.transformer.encoder, model.transformer.decoder):
        part.feedforward_dim = 64
    model.num_queries = 30
    model.num_classes = 7
    model.select_box_nums_for_evaluation = 100
    for key, value in overrides.items():
        model[key] = value
    return model


def tiny_model(name: str, seed: int = 0, **overrides) -> torch.nn.Module:
    """`tiny_config` instantiated with weights from `seed`, in eval mode."""
    torch.manual_seed(seed)
    return instantiate(tiny_config(name, **overrides)).eval()
