"""Frozen batch norms folded into the convolutions before them."""

import functools

import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn


def fold_frozen_norms(model: nn.Module) -> None:
    """Let each of detectron2's convolutions with a frozen norm scale its weight instead of its output, in place.

    The same function of the same parameters, gradients included, up to rounding: a weight is small, an output is not.
    """
    for module in model.modules():
        if isinstance(module, Conv2d) and isinstance(module.norm, FrozenBatchNorm2d):
            module.forward = functools.partial(_folded, module)


def _folded(conv: Conv2d, x: Tensor) -> Tensor:
    norm = conv.norm
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        bias = bias + conv.bias * scale
    weight = conv.weight * scale[:, None, None, None]
    x = F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return x if conv.activation is None else conv.activation(x)
