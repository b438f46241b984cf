"""Builds the model, the optimizer and the loader of a run from its config."""

import copy
import logging
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import create_ddp_model
from omegaconf import DictConfig, ListConfig
from torch import nn

from projects.diffu_base.config.options.train import DdpOptions, TrainOptions

from .acceleration import accelerate
from .allocator import keep_freed_memory

logger = logging.getLogger(__name__)


def build_model(
    model: DictConfig,
    device: str,
    *,
    channels_last: bool = True,
    activation_checkpointing: bool = False,
    compile_layers: bool = False,
) -> nn.Module:
    """Build the model of the config `model` on `device` and `accelerate` it. No weights are loaded."""
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    return accelerate(
        instantiate(model).to(device),
        channels_last=channels_last,
        activation_checkpointing=activation_checkpointing,
        compile_layers=compile_layers,
    )


def new_model(model: DictConfig, options: TrainOptions) -> nn.Module:
    """Build the model of the config `model` with the device and the acceleration that a run's options ask for."""
    return build_model(
        model,
        options.device,
        channels_last=options.channels_last,
        activation_checkpointing=options.activation_checkpointing,
        compile_layers=options.compile,
    )


def build_optimizer(optimizer: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer of the config `optimizer`. The function in its `params` gets `model` as an argument."""
    config = copy.deepcopy(optimizer)
    config.params.model = model
    built = instantiate(config)
    for group in [built.defaults, *built.param_groups]:
        for key, value in group.items():
            if isinstance(value, ListConfig):  # e.g. betas; a checkpoint must hold plain values
                group[key] = tuple(value)
    return built


def build_loader(loader: DictConfig, *, seed: int, start_iter: int) -> Any:
    """Build the training loader of the config `loader`, which continues after `start_iter` batches.

    If the loader has a `seed`, the run's seed is added to it.
    """
    config = copy.deepcopy(loader)
    if "seed" in config:
        config.seed += seed
    if "start_iter" in config or "seed" in config:
        config.start_iter = start_iter
    elif start_iter:
        logger.warning("dataloader.train has no start_iter: the resumed run starts its data from the beginning")
    return instantiate(config)


def wrap_ddp(model: nn.Module, options: DdpOptions) -> nn.Module:
    """Wrap the model in DistributedDataParallel if there are several processes."""
    arguments: dict[str, Any] = options.model_dump()
    if next(model.parameters()).device.type == "cpu":
        arguments["device_ids"] = None
    return create_ddp_model(model, **arguments)
