"""What makes a model faster or smaller in memory; names of weights stay, and outputs up to rounding."""

import functools
from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.transformer import DeformableDecoderLayer, DeformableEncoderLayer


def accelerate(cfg: DictConfig, model: nn.Module) -> nn.Module:
    """Apply ``train.channels_last``, ``train.activation_checkpointing`` and ``train.compile`` to ``model``, in place.

    Raises:
        ValueError: checkpointing or compilation is asked of a model without deformable transformer layers.
    """
    if cfg.train.channels_last:
        model.to(memory_format=torch.channels_last)
    for key, apply in (("activation_checkpointing", checkpoint_activations), ("compile", compile_layer)):
        if cfg.train[key]:
            layers = list(transformer_layers(model))
            if not layers:
                raise ValueError(f"train.{key} is True, but {type(model).__name__} has no deformable layers")
            for layer in layers:
                apply(layer)
    return model


def transformer_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The encoder's and the decoder's layers."""
    return (m for m in model.modules() if isinstance(m, DeformableEncoderLayer | DeformableDecoderLayer))


def checkpoint_activations(layer: nn.Module) -> None:
    """Let ``layer`` keep its inputs only, and compute its activations again in the backward pass."""
    layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def compile_layer(layer: nn.Module) -> None:
    """``torch.compile`` the layer for any number of tokens."""
    layer.compile(dynamic=True)
