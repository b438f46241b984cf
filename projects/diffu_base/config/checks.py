"""Reading a configuration: overrides that must fit it, and values that are checked before anything runs."""

import argparse

import torch
from detectron2.config import instantiate
from omegaconf import DictConfig

from .files import get_config

AMP_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def load_config(args: argparse.Namespace) -> DictConfig:
    """The configuration of ``--config-file`` with its overrides applied, its values checked and its device decided.

    Raises:
        ValueError: naming the key or file, its value and what is allowed.
    """
    if late := [opt for opt in args.opts or [] if opt.startswith("--")]:
        raise ValueError(f"{late[0]} comes after key=value overrides; options come before them")
    cfg = get_config(args.config_file, *(args.opts or []))
    check_config(cfg)
    cfg.train.device = resolve_device(cfg.train.device, num_gpus=args.num_gpus)
    return cfg


def check_config(cfg: DictConfig) -> None:
    """Check the values of ``cfg.train``.

    Raises:
        ValueError: naming the key, its value and what is allowed.
    """
    for key in ("train", "model", "dataloader", "optimizer", "lr_multiplier"):
        if key not in cfg:
            raise ValueError(f"the config has no {key!r}; it has {', '.join(map(str, cfg.keys()))}")
    train = cfg.train
    _require("amp.dtype", train.amp.dtype, train.amp.dtype in AMP_DTYPES, " or ".join(AMP_DTYPES))
    _require("device", train.device, str(train.device).split(":")[0] in ("auto", "cuda", "cpu"), "auto, cuda or cpu")
    _require("tf32", train.tf32, train.tf32 in (None, True, False), "None, True or False")
    for key, value in {
        "max_iter": train.max_iter,
        "log_period": train.log_period,
        "accumulation_steps": train.accumulation_steps,
        "checkpointer.period": train.checkpointer.period,
    }.items():
        _require(key, value, isinstance(value, int) and value >= 1, "an integer of at least 1")
    _require("seed", train.seed, isinstance(train.seed, int), "an integer; negative draws one")
    _require(
        "eval_period", train.eval_period, isinstance(train.eval_period, int) and train.eval_period >= 0, "0 or more"
    )
    keep = train.checkpointer.max_to_keep
    _require("checkpointer.max_to_keep", keep, keep is None or isinstance(keep, int) and keep >= 1, "None, 1 or more")
    mode = train.checkpointer.best_mode
    _require("checkpointer.best_mode", mode, mode in ("max", "min"), "max or min")
    decay = train.model_ema.decay
    _require("model_ema.decay", decay, isinstance(decay, int | float) and 0 <= decay <= 1, "a number in [0, 1]")


def _require(key: str, value: object, is_allowed: bool, allowed: str) -> None:
    if not is_allowed:
        raise ValueError(f"train.{key} must be {allowed}, got {value!r}")


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
        instantiate(cfg.dataloader.evaluator)  # refuses what it cannot evaluate; else thousands of iterations later


def amp_dtype(cfg: DictConfig) -> torch.dtype | None:
    """Type of the autocast forward pass, None for float32."""
    return AMP_DTYPES[cfg.train.amp.dtype] if cfg.train.amp.enabled else None
