"""Makes a built model faster or smaller in memory. Weights keep their names; outputs change by rounding only."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.transformer import DeformableDecoderLayer, DeformableEncoderLayer


def accelerate(
    model: nn.Module,
    *,
    channels_last: bool = True,
    activation_checkpointing: bool = False,
    compile_layers: bool = False,
) -> nn.Module:
    """Fold `model`'s frozen norms into its convolutions and apply the options, all in place. Returns the model.

    Args:
        channels_last: convolutions' weights lie in memory as NHWC.
        activation_checkpointing: transformer layers and Swin blocks compute their activations again in the backward
            pass instead of keeping them.
        compile_layers: the transformer's layers go through `torch.compile`.

    Raises:
        ValueError: checkpointing or compilation is wanted, but the model has no layers that support it.
    """
    fold_frozen_norms(model)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if activation_checkpointing:
        for layer in _required(attention_layers(model), model, "activation_checkpointing"):
            checkpoint_activations(layer)
    if compile_layers:
        for layer in _required(transformer_layers(model), model, "compile"):
            layer.compile(dynamic=True)  # one compilation serves images of every size
    return model


def _required(layers: Iterator[nn.Module], model: nn.Module, option: str) -> list[nn.Module]:
    found = list(layers)
    if not found:
        raise ValueError(f"train.{option} is True, but {type(model).__name__} has no layers for it")
    return found


def transformer_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The encoder's and the decoder's layers."""
    return (m for m in model.modules() if isinstance(m, DeformableEncoderLayer | DeformableDecoderLayer))


def attention_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The encoder's and the decoder's layers, and the blocks of a Swin backbone."""
    from projects.diffu_base.modeling.backbones.swin import SwinBlock  # imports timm, which takes seconds

    layers = DeformableEncoderLayer | DeformableDecoderLayer | SwinBlock
    return (m for m in model.modules() if isinstance(m, layers))


class Checkpointed(nn.Module):
    """A layer that keeps its inputs only and computes its activations again in the backward pass."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer's own `forward` without keeping its activations."""
        return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)


def checkpoint_activations(layer: nn.Module) -> None:
    """Change the class of `layer`, in place, to one that derives from `Checkpointed` and the old class."""
    kind = type(layer)
    layer.__class__ = type(f"Checkpointed{kind.__name__}", (Checkpointed, kind), {})


class FoldedConv2d(Conv2d):
    """detectron2's convolution with a frozen norm, which scales the convolution's weight instead of its output.

    It computes the same function of the same parameters, with the same gradients, up to rounding. Scaling the weight is
    cheaper, because a weight has far fewer numbers than an output.
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
