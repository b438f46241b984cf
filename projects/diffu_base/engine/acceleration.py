"""What makes a model faster or smaller in memory; names of weights stay, and outputs up to rounding."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.transformer import DeformableDecoderLayer, DeformableEncoderLayer

from .fold_norms import fold_frozen_norms


def accelerate(
    model: nn.Module,
    *,
    channels_last: bool = True,
    activation_checkpointing: bool = False,
    compile_layers: bool = False,
) -> nn.Module:
    """Fold the frozen norms of `model` into its convolutions and apply what is asked for, in place; returns the model.

    Args:
        channels_last: convolutions' weights lie in memory as NHWC.
        activation_checkpointing: transformer layers and Swin blocks compute their activations again in the backward
            pass instead of keeping them.
        compile_layers: the transformer's layers go through `torch.compile`.

    Raises:
        ValueError: checkpointing or compilation is asked of a model without layers for it.
    """
    fold_frozen_norms(model)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if activation_checkpointing:
        for layer in _required(attention_layers(model), model, "activation_checkpointing"):
            checkpoint_activations(layer)
    if compile_layers:
        for layer in _required(transformer_layers(model), model, "compile"):
            layer.compile(dynamic=True)  # for any number of tokens
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
        """As the layer's own."""
        return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)


def checkpoint_activations(layer: nn.Module) -> None:
    """Make `layer` a `Checkpointed` one of its class, in place."""
    kind = type(layer)
    layer.__class__ = type(f"Checkpointed{kind.__name__}", (Checkpointed, kind), {})
