"""Small models of the project's own configs."""

from pathlib import Path

import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from omegaconf import DictConfig
from torch import nn

CONFIGS = Path(__file__).resolve().parents[3] / "projects" / "diffusion_inst" / "configs"
CLASSES, PROPOSALS = 7, 30


class TinyPyramid(Backbone):
    """Image -> maps p2 to p5, each made of pooled pixels by a 3×3 convolution, which reads neighbouring cells too."""

    size_divisibility = 32

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, kernel_size=3, padding=1) for _ in range(4))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            name: conv(nn.functional.avg_pool2d(images, shape.stride))
            for (name, shape), conv in zip(self.output_shape().items(), self.convs, strict=True)
        }

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {f"p{i}": ShapeSpec(channels=self.channels, stride=2**i) for i in range(2, 6)}


def load_model(name: str) -> DictConfig:
    """The model tree of a config file, e.g. `models/diffusion_inst_r50`."""
    return LazyConfig.load(str(CONFIGS / f"{name}.py")).model


def shrink(model: DictConfig, **overrides) -> DictConfig:
    """The model tree made small in place, on the stub pyramid; `overrides` by key."""
    model.backbone = L(TinyPyramid)(channels="${..embed_dim}")
    model.embed_dim = 32
    model.roi_head.feedforward_dim = 64
    model.roi_head.dynamic_conv.update(dynamic_dim=8, roi_size=5)
    if "mask_branch" in model:
        model.mask_branch.channels = 16
    model.num_heads = 2
    model.num_classes = CLASSES
    model.num_proposals = PROPOSALS
    for key, value in overrides.items():
        model[key] = value
    return model


def tiny_model(name: str = "models/diffusion_inst_r50", **overrides) -> nn.Module:
    """A small model in eval mode."""
    return instantiate(shrink(load_model(name), **overrides)).eval()


def full_heads_model() -> nn.Module:
    """DiffusionInst in its full width, with two heads, 30 proposals and 6 classes, on its ResNet-50."""
    model = load_model("models/diffusion_inst_r50")
    model.num_proposals, model.num_classes, model.num_heads = 30, 6, 2
    return instantiate(model)
