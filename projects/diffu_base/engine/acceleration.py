"""What makes a model faster or smaller in memory; names of weights stay, and outputs up to rounding."""

import functools
from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils.checkpoint import checkpoint

from layers_diffu_detr.transformer import DeformableDecoderLayer, DeformableEncoderLayer
from projects.diffu_base.engine.fold_norms import fold_frozen_norms


def accelerate(cfg: DictConfig, model: nn.Module) -> nn.Module:
    """Fold ``model``'s frozen norms, and apply ``train.channels_last``, ``activation_checkpointing`` and ``compile``.

    All is done in place.

    Raises:
        ValueError: checkpointing or compilation is asked of a model without layers for it.
    """
    fold_frozen_norms(model)
    if cfg.train.channels_last:
        model.to(memory_format=torch.channels_last)
    for key, find, apply in (
        ("activation_checkpointing", attention_layers, checkpoint_activations),
        ("compile", transformer_layers, compile_layer),
    ):
        if cfg.train[key]:
            layers = list(find(model))
            if not layers:
                raise ValueError(f"train.{key} is True, but {type(model).__name__} has no layers for it")
            for layer in layers:
                apply(layer)
    return model


def transformer_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The encoder's and the decoder's layers."""
    return (m for m in model.modules() if isinstance(m, DeformableEncoderLayer | DeformableDecoderLayer))


def attention_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The encoder's and the decoder's layers, and the blocks of a Swin backbone."""
    from projects.diffu_base.modeling.backbones.swin import (
        SwinBlock,  # brings all of timm, so only where it is asked for
    )

    layers = DeformableEncoderLayer | DeformableDecoderLayer | SwinBlock
    return (m for m in model.modules() if isinstance(m, layers))


def checkpoint_activations(layer: nn.Module) -> None:
    """Let ``layer`` keep its inputs only, and compute its activations again in the backward pass."""
    layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def compile_layer(layer: nn.Module) -> None:
    """``torch.compile`` the layer for any number of tokens."""
    layer.compile(dynamic=True)
