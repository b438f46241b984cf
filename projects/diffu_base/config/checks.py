"""Reading the config of a run: overrides applied, values checked, device decided, before anything runs."""

import logging
from collections.abc import Sequence

import torch
from detectron2.config import instantiate
from omegaconf import DictConfig

from .files import get_config
from .options.train import TrainOptions

logger = logging.getLogger(__name__)

PARTS = ("train", "model", "dataloader", "optimizer", "lr_multiplier")


def load_config(config_file: str, overrides: Sequence[str] = (), *, num_gpus: int) -> DictConfig:
    """The config of a run with its overrides applied, its values checked and its device decided.

    Args:
        config_file: a name or a path, see `get_config`.
        overrides: `key=value`.
        num_gpus: 0 takes the CPU.

    Raises:
        ValueError: naming the key or file, its value and what is allowed.
    """
    if late := [opt for opt in overrides if opt.startswith("--")]:
        raise ValueError(f"{late[0]} comes after key=value overrides; options come before them")
    cfg = get_config(config_file, *overrides)
    check_config(cfg)
    cfg.train.device = resolve_device(cfg.train.device, num_gpus=num_gpus)
    return cfg


def check_config(cfg: DictConfig) -> None:
    """Check that `cfg` is a run and that its values are allowed.

    Raises:
        ValueError: naming each wrong key, its value and what is allowed.
    """
    for key in PARTS:
        if key not in cfg:
            raise ValueError(f"the config has no {key!r}; it has {', '.join(map(str, cfg.keys()))}")
    TrainOptions.of(cfg)
    for line in TrainOptions.unread(cfg.train, "train"):
        logger.warning(line)


def resolve_device(device: str, *, num_gpus: int) -> str:
    """The torch device of ``train.device``; with ``--num-gpus 0`` it is the CPU.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if num_gpus == 0 or device == "cpu":
        return "cpu"
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available():
        raise ValueError(f"train.device is {device!r}, but PyTorch finds no CUDA device; use train.device=auto or cpu")
    return device


def check_data(cfg: DictConfig, *, training: bool) -> None:
    """Run ``cfg.data_check``, where the config has one, and see that there is something to evaluate on, before
    anything that takes time.

    Args:
        training: False leaves out the training data.

    Raises:
        ValueError: the report of what is wrong with the data.
        FileNotFoundError: the data to evaluate on are not there.
    """
    if "data_check" in cfg:
        if not training:
            cfg.data_check.train = None
        instantiate(cfg.data_check)
    if "evaluator" in cfg.dataloader:
        instantiate(
            cfg.dataloader.evaluator
        )  # it refuses what it cannot evaluate now, not thousands of iterations later
