"""A training run, put together from its configuration."""

import copy
import logging
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import HookBase, create_ddp_model, default_writers, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.checks import amp_dtype
from projects.diffu_base.engine.checkpoint import RunCheckpointer
from projects.diffu_base.engine.ema import EMAHook, EMAState
from projects.diffu_base.engine.evaluation import build_model, evaluate_in_training, local_path, write_results
from projects.diffu_base.engine.hooks import Checkpoint, Evaluate, KeepBest, StopOnSignal
from projects.diffu_base.engine.rng import seed_everything
from projects.diffu_base.engine.trainer import Trainer
from projects.diffu_base.engine.writers import WandbWriter

logger = logging.getLogger("detectron2.diffu_detr")


def train(cfg: DictConfig, resumed: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the training of ``cfg`` up to ``train.max_iter``, evaluation included.

    Args:
        resumed: checkpoint to continue from, see `load_last`; None starts a new run.

    Returns:
        Results of the last evaluation; empty beyond rank 0 and where the config evaluates nothing.
    """
    start_iter = 0 if resumed is None else resumed["iteration"] + 1
    seed_everything(cfg.train.seed)  # the same on every rank: equal initial weights
    model = build_model(cfg)
    if resumed is None and cfg.train.init_checkpoint:
        load_weights(model, local_path(cfg.train.init_checkpoint))
    optimizer = build_optimizer(cfg, model)
    model = wrap_ddp(cfg, model)
    ema = EMAState(model, cfg.train.model_ema.decay) if cfg.train.model_ema.enabled else None
    trainer = Trainer(
        model,
        build_loader(cfg, start_iter),
        optimizer,
        amp_dtype=amp_dtype(cfg),
        clip_grad=OmegaConf.to_container(cfg.train.clip_grad.params) if cfg.train.clip_grad.enabled else None,
        accumulation_steps=cfg.train.accumulation_steps,
        output_dir=cfg.train.output_dir,
    )
    checkpointer = RunCheckpointer(
        model,
        cfg.train.output_dir,
        max_to_keep=cfg.train.checkpointer.max_to_keep,
        extra={"seed": cfg.train.seed},
        trainer=trainer,
        **({} if ema is None else {"ema_state": ema}),
    )
    results: dict[str, Any] = {}
    trainer.register_hooks(build_hooks(cfg, model, ema, checkpointer, results))
    seed_everything(cfg.train.seed + comm.get_rank())  # every rank draws its own noise
    if resumed is not None:
        trainer.resume_rng = stream_of_rank(checkpointer.restore(resumed)["rng_streams"])
    trainer.train(start_iter, cfg.train.max_iter)
    return results


def build_optimizer(cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of ``cfg.optimizer`` over ``model``, which its ``params`` receive as ``params.model``."""
    config = copy.deepcopy(cfg.optimizer)
    config.params.model = model
    optimizer = instantiate(config)
    for group in [optimizer.defaults, *optimizer.param_groups]:
        for key, value in group.items():
            if isinstance(value, ListConfig):  # such as betas; checkpoints hold plain values only
                group[key] = tuple(value)
    return optimizer


def build_loader(cfg: DictConfig, start_iter: int) -> Any:
    """The training loader, continuing after ``start_iter`` batches.

    A loader that knows ``seed`` gets ``train.seed`` added to its own.
    """
    config = copy.deepcopy(cfg.dataloader.train)
    if "seed" in config:
        config.seed += cfg.train.seed
    if "start_iter" in config or "seed" in config:
        config.start_iter = start_iter
    elif start_iter:
        logger.warning("dataloader.train has no start_iter: the resumed run starts its data from the beginning")
    return instantiate(config)


def wrap_ddp(cfg: DictConfig, model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel where there are several processes."""
    options = OmegaConf.to_container(cfg.train.ddp)
    if next(model.parameters()).device.type == "cpu":
        options["device_ids"] = None
    return create_ddp_model(model, **options)


def build_hooks(
    cfg: DictConfig, model: nn.Module, ema: EMAState | None, checkpointer: RunCheckpointer, results: dict[str, Any]
) -> list[HookBase | None]:
    """The run's hooks in their order; evaluation leaves its newest results in ``results``."""

    def test() -> dict[str, Any]:
        results.clear()
        if "evaluator" in cfg.dataloader:
            results.update(evaluate_in_training(cfg, model, ema))
            iterations = checkpointer.checkpointables["trainer"].storage.iter
            write_results(cfg.train.output_dir, results, iterations=min(iterations + 1, cfg.train.max_iter))
        return results

    best = cfg.train.checkpointer
    is_main = comm.is_main_process()
    return [
        hooks.IterationTimer(),
        EMAHook(ema, model) if ema is not None else None,
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        Checkpoint(checkpointer, best.period),
        StopOnSignal(),
        Evaluate(cfg.train.eval_period, test),
        KeepBest(checkpointer, best.best_metric, best.best_mode, cfg.train.eval_period) if best.best_metric else None,
        # last, so that it writes what the others have put into the storage
        hooks.PeriodicWriter(build_writers(cfg), period=cfg.train.log_period) if is_main else None,
    ]


def build_writers(cfg: DictConfig) -> list[EventWriter]:
    """The log with the time left, metrics.json, TensorBoard, and W&B where it is enabled."""
    writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
    if cfg.train.wandb.enabled:
        train_settings = OmegaConf.to_container(cfg.train, resolve=True)
        writers.append(WandbWriter(train_settings["wandb"]["params"], train_settings))
    return writers


def stream_of_rank(streams: list[dict[str, Any]]) -> dict[str, Any] | None:
    """This rank's random state; None, with a warning, where the run had another number of processes."""
    if len(streams) == comm.get_world_size():
        return streams[comm.get_rank()]
    logger.warning(
        f"the checkpoint is of a run with {len(streams)} processes, this one has {comm.get_world_size()}: "
        "it continues with other random numbers"
    )
    return None
