"""Evaluation of a model: on its own, and during training."""

import json
import logging
import math
import os
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig
from torch import nn

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.checks import AMP_DTYPES
from projects.diffu_base.engine.acceleration import accelerate
from projects.diffu_base.engine.allocator import keep_freed_memory
from projects.diffu_base.engine.checkpoint import atomic_write, last_checkpoint
from projects.diffu_base.engine.ema import EMAState, unwrap
from projects.diffu_base.engine.rng import preserved_rng

Results = dict[str, Any]
logger = logging.getLogger("detectron2.diffu_detr")


def build_model(cfg: DictConfig) -> nn.Module:
    """The model of ``cfg.model`` on ``cfg.train.device``, accelerated, without weights loaded."""
    if torch.device(cfg.train.device).type == "cpu":
        keep_freed_memory()
    model = instantiate(cfg.model)
    return accelerate(cfg, model.to(cfg.train.device))


def local_path(path: str) -> str:
    """A file on this machine for a path, ``detectron2://`` or ``https://`` address, downloaded when needed.

    Raises:
        ValueError: there is no such file.
    """
    local = PathManager.get_local_path(path)
    if not os.path.isfile(local):
        raise ValueError(f"train.init_checkpoint {path!r}: no such file")
    return local


def load_for_eval(cfg: DictConfig, model: nn.Module, *, resume: bool = False) -> str:
    """Load the weights to evaluate: averaged ones where ``train.model_ema`` says so.

    Args:
        resume: take the run's last checkpoint instead of ``train.init_checkpoint``, if it has one.

    Returns:
        Path of the checkpoint.

    Raises:
        ValueError: no checkpoint is named, it lacks averaged weights that are asked for, or it holds a backbone alone.
    """
    path = (last_checkpoint(cfg.train.output_dir) if resume else None) or cfg.train.init_checkpoint
    if not path:
        raise ValueError(
            "evaluation needs weights: set train.init_checkpoint=FILE, or --resume for the last checkpoint of "
            f"train.output_dir {cfg.train.output_dir!r}"
        )
    use_ema = cfg.train.model_ema.enabled and cfg.train.model_ema.use_ema_weights_for_eval_only
    try:
        report = load_weights(model, local_path(path), select="ema" if use_ema else "model")
    except ValueError as error:
        if not use_ema:
            raise
        raise ValueError(
            f"{error}\n(train.model_ema.use_ema_weights_for_eval_only=False evaluates the plain weights)"
        ) from error
    if any(not name.startswith("backbone.") for name in report.initialised):
        raise ValueError(f"{path} holds a backbone alone, which cannot be evaluated; set train.init_checkpoint=FILE")
    logger.info(f"Evaluating the {'averaged' if use_ema else 'plain'} weights of {path}")
    return path


def evaluate(cfg: DictConfig, model: nn.Module) -> Results:
    """Run ``cfg.dataloader.evaluator`` over ``cfg.dataloader.test``; the random streams are left as they were.

    All ranks call this together. ``cfg.dataloader.test_time_augmentation``, where there is one, wraps the model.

    Returns:
        detectron2's results, task -> metric -> value; empty beyond rank 0.

    Raises:
        ValueError: the config has no ``dataloader.test`` or no ``dataloader.evaluator``.
    """
    for key in ("test", "evaluator"):
        if key not in cfg.dataloader:
            raise ValueError(f"evaluation needs dataloader.{key}; dataloader has {', '.join(map(str, cfg.dataloader))}")
    share_buffers(unwrap(model))
    amp, device_type = cfg.train.amp, torch.device(cfg.train.device).type
    with preserved_rng(), torch.autocast(device_type, dtype=AMP_DTYPES[amp.dtype], enabled=amp.evaluate):
        loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
        results = inference_on_dataset(_augmented(cfg, unwrap(model)), loader, evaluator)
    if comm.is_main_process():
        print_csv_format(results)
    return results


def _augmented(cfg: DictConfig, model: nn.Module) -> nn.Module:
    if "test_time_augmentation" not in cfg.dataloader:
        return model
    return instantiate({**cfg.dataloader.test_time_augmentation, "model": model})


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0, such as batch norm's statistics: what checkpoints hold is evaluated."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def evaluate_in_training(cfg: DictConfig, model: nn.Module, ema: EMAState | None) -> Results:
    """Evaluate the weights that ``--eval-only`` would, and with ``model_ema.eval_both`` the others too.

    The others' tasks are called ``bbox_raw`` (or ``bbox_ema``) beside ``bbox``.
    """
    settings = cfg.train.model_ema
    if ema is None:
        return evaluate(cfg, model)
    ema_first = settings.use_ema_weights_for_eval_only
    results: Results = {}
    if ema_first or settings.eval_both:
        logger.info("Evaluating the averaged weights")
        with ema.applied_to(model):
            averaged = evaluate(cfg, model)
        results.update({task if ema_first else f"{task}_ema": metrics for task, metrics in averaged.items()})
    if not ema_first or settings.eval_both:
        logger.info("Evaluating the plain weights")
        plain = evaluate(cfg, model)
        results.update({f"{task}_raw" if ema_first else task: metrics for task, metrics in plain.items()})
    return results


def write_results(output_dir: str, results: Results, **context: Any) -> None:
    """Write ``results.json``: the context's entries and ``results``; NaN becomes null."""
    if comm.is_main_process():
        os.makedirs(output_dir, exist_ok=True)
        text = json.dumps({**context, "results": _plain(results)}, indent=2)
        atomic_write(text + "\n", os.path.join(output_dir, "results.json"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None
