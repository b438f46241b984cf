"""The neck of the DETR family: it turns a backbone's maps into the transformer's levels, under detrex's names."""

import copy

from detectron2.layers import ShapeSpec
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution `conv` and then a norm `norm`, which is copied from `norm_layer`."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, norm_layer: nn.Module
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=(kernel_size - 1) // 2)
        self.norm = copy.deepcopy(norm_layer)
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride), rounded up."""
        return self.norm(self.conv(x))


class ChannelMapper(nn.Module):
    """Makes a level from each backbone map by a convolution, and coarser levels by 3×3 convolutions of stride 2.

    Args:
        input_shapes: name of a backbone map -> its shape.
        in_features: names of the maps to use, finest first.
        out_channels: channels of every level.
        num_outs: number of levels, at least `len(in_features)`.
        norm_layer: the norm after each convolution; every convolution gets a copy.
        kernel_size: of the convolutions on backbone maps.

    Raises:
        ValueError: the backbone lacks a map, or there are more maps than levels.
    """

    def __init__(
        self,
        input_shapes: dict[str, ShapeSpec],
        in_features: list[str],
        out_channels: int,
        *,
        num_outs: int,
        norm_layer: nn.Module,
        kernel_size: int = 1,
    ) -> None:
        super().__init__()
        if missing := [name for name in in_features if name not in input_shapes]:
            raise ValueError(f"neck.in_features has {missing}; input_shapes has {sorted(input_shapes)}")
        if num_outs < len(in_features):
            raise ValueError(f"neck.num_outs is {num_outs}; {len(in_features)} in_features need at least as many")
        self.in_features = list(in_features)
        channels = [input_shapes[name].channels for name in in_features]
        self.convs = nn.ModuleList(ConvNorm(c, out_channels, kernel_size, 1, norm_layer) for c in channels)
        extra_channels = [channels[-1]] + [out_channels] * (num_outs - len(channels))
        self.extra_convs = nn.ModuleList(
            ConvNorm(c, out_channels, 3, 2, norm_layer) for c in extra_channels[: num_outs - len(channels)]
        )

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        """{name: (B, C_i, H_i, W_i)} -> `num_outs` maps (B, out_channels, H_l, W_l), finest first."""
        levels = [conv(features[name]) for conv, name in zip(self.convs, self.in_features, strict=True)]
        coarsest = features[self.in_features[-1]]
        for conv in self.extra_convs:
            coarsest = conv(coarsest)
            levels.append(coarsest)
        return levels
