"""Frozen batch norms folded into the convolutions before them."""

import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn


class FoldedConv2d(Conv2d):
    """detectron2's convolution with a frozen norm, which scales the convolution's weight instead of its output.

    The same function of the same parameters, gradients included, up to rounding. Scaling the weight is cheaper, since
    a weight has far fewer numbers than an output.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolution, norm and activation of x (B, C, H, W)."""
        norm = self.norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        bias = norm.bias - norm.running_mean * scale
        if self.bias is not None:
            bias = bias + self.bias * scale
        weight = self.weight * scale[:, None, None, None]
        x = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return x if self.activation is None else self.activation(x)


def fold_frozen_norms(model: nn.Module) -> None:
    """Make each of detectron2's convolutions with a frozen norm a `FoldedConv2d`, in place."""
    for module in model.modules():
        if type(module) is Conv2d and isinstance(module.norm, FrozenBatchNorm2d):
            module.__class__ = FoldedConv2d
