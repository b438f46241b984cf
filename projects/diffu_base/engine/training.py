"""A training run, put together from its configuration."""

import logging
from collections.abc import Callable
from typing import Any

from detectron2.config import instantiate
from detectron2.engine import HookBase, default_writers, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from omegaconf import DictConfig
from torch import nn

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.options.train import CheckpointerOptions, TrainOptions

from .build import build_loader, build_optimizer, new_model, wrap_ddp
from .checkpoint import RunCheckpointer
from .ema import EMAHook, EMAState
from .evaluation import evaluate, evaluate_in_training, local_path
from .hooks import Checkpoint, Evaluate, KeepBest, StopOnSignal
from .results import Results, write_results
from .rng import seed_everything
from .trainer import Trainer
from .writers import WandbWriter

logger = logging.getLogger(__name__)


def train(cfg: DictConfig, resumed: dict[str, Any] | None = None) -> Results:
    """Run the training of ``cfg`` up to ``train.max_iter``, evaluation included.

    Args:
        resumed: checkpoint to continue from, see `load_last`; None starts a new run.

    Returns:
        Results of the last evaluation; empty beyond rank 0 and where the config evaluates nothing.
    """
    options = TrainOptions.of(cfg)
    start_iter = 0 if resumed is None else resumed["iteration"] + 1
    seed_everything(options.seed)  # the same on every rank: equal initial weights
    model = new_model(cfg.model, options)
    if resumed is None and options.init_checkpoint:
        load_weights(model, local_path(options.init_checkpoint))
    optimizer = build_optimizer(cfg.optimizer, model)
    model = wrap_ddp(model, options.ddp)
    ema = EMAState(model, options.model_ema.decay) if options.model_ema.enabled else None
    trainer = Trainer(
        model,
        build_loader(cfg.dataloader.train, seed=options.seed, start_iter=start_iter),
        optimizer,
        amp_dtype=options.amp_dtype,
        clip_grad=options.clip_arguments,
        accumulation_steps=options.accumulation_steps,
        output_dir=options.output_dir,
    )
    checkpointer = RunCheckpointer(
        model,
        options.output_dir,
        max_to_keep=options.checkpointer.max_to_keep,
        extra={"seed": options.seed},
        trainer=trainer,
        **({} if ema is None else {"ema_state": ema}),
    )
    evaluation = EvaluationInTraining(model, ema, cfg.dataloader, options, trainer)
    trainer.register_hooks(build_hooks(model, ema, checkpointer, instantiate(cfg.lr_multiplier), evaluation, options))
    seed_everything(options.seed + comm.get_rank())  # every rank draws its own noise
    if resumed is not None:
        trainer.resume_rng = stream_of_rank(checkpointer.restore(resumed)["rng_streams"])
    trainer.train(start_iter, options.max_iter)
    return evaluation.results


class EvaluationInTraining:
    """Evaluates a run's model when called and writes ``results.json``.

    Args:
        ema: averages that may be evaluated too.
        dataloader: see `evaluate`; without an `evaluator` there is nothing to do.
        options: those of the run.
        trainer: knows the iteration.

    Attributes:
        results: of the last evaluation.
    """

    def __init__(
        self, model: nn.Module, ema: EMAState | None, dataloader: DictConfig, options: TrainOptions, trainer: Trainer
    ) -> None:
        self.model = model
        self.ema = ema
        self.dataloader = dataloader
        self.options = options
        self.trainer = trainer
        self.results: Results = {}

    def __call__(self) -> Results:
        """The results; empty without an evaluator."""
        if "evaluator" not in self.dataloader:
            return {}
        options = self.options
        self.results = evaluate_in_training(
            lambda: evaluate(self.model, self.dataloader, dtype=options.eval_dtype),
            self.model,
            self.ema,
            averages_first=options.model_ema.use_ema_weights_for_eval_only,
            both=options.model_ema.eval_both,
        )
        iterations = min(self.trainer.storage.iter + 1, options.max_iter)
        write_results(options.output_dir, self.results, iterations=iterations)
        return self.results


def build_hooks(
    model: nn.Module,
    ema: EMAState | None,
    checkpointer: RunCheckpointer,
    schedule: Callable[[float], float],
    evaluation: Callable[[], Results],
    options: TrainOptions,
) -> list[HookBase | None]:
    """The run's hooks in their order."""
    return [
        hooks.IterationTimer(),
        EMAHook(ema, model) if ema is not None else None,
        hooks.LRScheduler(scheduler=schedule),
        Checkpoint(checkpointer, options.checkpointer.period),
        StopOnSignal(),
        Evaluate(options.eval_period, evaluation),
        keep_best(checkpointer, options.checkpointer, options.eval_period),
        # last, so that it writes what the others have put into the storage
        hooks.PeriodicWriter(build_writers(options), period=options.log_period) if comm.is_main_process() else None,
    ]


def keep_best(checkpointer: RunCheckpointer, options: CheckpointerOptions, eval_period: int) -> KeepBest | None:
    """The hook that keeps the best weights; None where no metric is named."""
    return KeepBest(checkpointer, options.best_metric, options.best_mode, eval_period) if options.best_metric else None


def build_writers(options: TrainOptions) -> list[EventWriter]:
    """The log with the time left, metrics.json, TensorBoard, and W&B where it is enabled."""
    writers = default_writers(options.output_dir, options.max_iter)
    if options.wandb.enabled:
        writers.append(WandbWriter(options.wandb.params.model_dump(), options.model_dump()))
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
