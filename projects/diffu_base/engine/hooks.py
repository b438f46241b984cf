"""The hooks that this project adds to detectron2's."""

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from detectron2.engine import HookBase, default_writers, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn

from projects.diffu_base.config.options.train import CheckpointerOptions, TrainOptions

from .checkpoint import RunCheckpointer
from .ema import EMAHook, EMAState
from .model_folders import ModelFolders
from .progress import ProgressBar, StopEarly
from .results import Results
from .writers import WandbWriter

logger = logging.getLogger(__name__)


class Checkpoint(HookBase):
    """Saves a checkpoint every ``period`` iterations, after the last one, and when a signal stops the run."""

    def __init__(self, checkpointer: RunCheckpointer, period: int) -> None:
        self.checkpointer = checkpointer
        self.period = period

    def after_step(self) -> None:
        iteration = self.trainer.iter
        if iteration + 1 == self.trainer.max_iter:
            self.checkpointer.save("model_final", iteration=iteration)
        elif (iteration + 1) % self.period == 0 or self.trainer.stopping:
            self.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)


class StopOnSignal(HookBase):
    """At SIGTERM or Ctrl-C, ends the run after the current iteration. :class:`Checkpoint` saves that iteration.

    A signal to one rank stops all ranks after the same iteration. In the list of hooks, this one must come after
    :class:`Checkpoint`. Job schedulers and torchrun repeat the first signal, so further signals are ignored for PAUSE
    seconds; after that, another Ctrl-C ends the process at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)
    PAUSE = 3.0  # seconds

    def __init__(self) -> None:
        self._received: int = signal.SIGTERM
        self._since = 0.0  # when the first signal came, in seconds
        self._previous: dict[signal.Signals, Any] = {}

    def before_train(self) -> None:
        if threading.current_thread() is threading.main_thread():  # Python lets only the main thread set handlers
            self._previous = {number: signal.signal(number, self._handle) for number in self.SIGNALS}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.trainer.stop_requested:
            if number == signal.SIGINT and time.monotonic() - self._since > self.PAUSE:
                raise KeyboardInterrupt
            return
        self.trainer.stop_requested = True
        self._received, self._since = number, time.monotonic()
        logger.warning(f"{signal.Signals(number).name}: stopping after this iteration; Ctrl-C again: at once")

    def after_step(self) -> None:
        if self.trainer.stopping and self.trainer.iter + 1 < self.trainer.max_iter:
            comm.synchronize()  # else another rank ends, and torchrun kills rank 0 while it still writes
            logger.info(f"Stopped after iteration {self.trainer.iter}; continue with --resume")
            raise SystemExit(128 + self._received)

    def after_train(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class Evaluate(hooks.EvalHook):
    """detectron2's EvalHook, except that it does not evaluate after a run that failed in its last iteration."""

    def after_train(self) -> None:
        self._eval_after_train = self.trainer.iter >= self.trainer.max_iter
        super().after_train()


class KeepBest(HookBase):
    """Keeps the weights of the best evaluation in ``model_best.pth`` and in a model folder, also over resumed runs.

    In the list of hooks, this one must come after :class:`Evaluate`. The file also holds the best value.

    Args:
        metric: name of a scalar that the evaluation puts into the storage, such as "bbox/AP".
        mode: "max" or "min".
        folders: writes the weights as a model folder too; None: they are not.
    """

    NAME = "model_best"

    def __init__(
        self,
        checkpointer: RunCheckpointer,
        metric: str,
        mode: str,
        period: int,
        *,
        folders: ModelFolders | None = None,
    ) -> None:
        self.checkpointer = checkpointer
        self.folders = folders
        self.metric = metric
        self.better: Callable[[float, float], bool] = {"max": float.__gt__, "min": float.__lt__}[mode]
        self.period = period
        self.best: float | None = None
        self.without_gain = 0  # evaluations in a row that were not better

    def before_train(self) -> None:
        path = os.path.join(self.checkpointer.save_dir, f"{self.NAME}.pth")
        if os.path.isfile(path):
            kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("best", {})
            if kept.get("metric") == self.metric:
                self.best = kept["value"]

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self.period > 0 and done % self.period == 0 and done != self.trainer.max_iter:
            self._compare()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            self._compare()

    def _compare(self) -> None:
        if not comm.is_main_process():
            return
        value, iteration = self.trainer.storage.latest().get(self.metric, (math.nan, -1))
        if math.isnan(value):
            known = sorted(name for name in self.trainer.storage.latest() if "/" in name)
            logger.warning(f"train.checkpointer.best_metric {self.metric!r} was not evaluated; evaluated: {known}")
        elif self.best is not None and not self.better(float(value), self.best):
            self.without_gain += 1
        else:
            self.best, self.without_gain = float(value), 0
            best = {"metric": self.metric, "value": self.best, "iteration": iteration}
            self.checkpointer.save_weights(self.NAME, best=best)
            if self.folders is not None:
                self.folders.write(self.NAME, iterations=iteration + 1)
            logger.info(f"Best {self.metric} so far: {self.best:.4f} at iteration {iteration}")


class WriteFinalModel(HookBase):
    """Writes the model folder of the weights after the last iteration.

    In the list of hooks, this one must come after :class:`Evaluate`, whose results the folder holds.
    """

    NAME = "model_final"

    def __init__(self, folders: ModelFolders) -> None:
        self.folders = folders

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            self.folders.write(self.NAME, iterations=self.trainer.max_iter)


def build_hooks(
    model: nn.Module,
    ema: EMAState | None,
    checkpointer: RunCheckpointer,
    schedule: Callable[[float], float],
    evaluation: Callable[[], Results],
    options: TrainOptions,
    folders: ModelFolders | None = None,
) -> list[HookBase | None]:
    """Return the run's hooks, in the order in which the trainer calls them. Without `folders`, it writes no folders."""
    best = keep_best(checkpointer, options.checkpointer, options.eval_period, folders)
    return [
        hooks.IterationTimer(),
        EMAHook(ema, model) if ema is not None else None,
        hooks.LRScheduler(scheduler=schedule),
        Checkpoint(checkpointer, options.checkpointer.period),
        StopOnSignal(),
        Evaluate(options.eval_period, evaluation),
        best,
        ProgressBar(options.max_iter) if options.progress_bar and comm.is_main_process() else None,
        StopEarly(checkpointer, best, options.patience) if best is not None and options.patience else None,
        WriteFinalModel(folders) if folders is not None else None,
        # The writer comes last, because it writes what the other hooks have put into the storage.
        hooks.PeriodicWriter(build_writers(options), period=options.log_period) if comm.is_main_process() else None,
    ]


def keep_best(
    checkpointer: RunCheckpointer, options: CheckpointerOptions, eval_period: int, folders: ModelFolders | None
) -> KeepBest | None:
    """The hook that keeps the best weights; None where no metric is named."""
    if not options.best_metric:
        return None
    return KeepBest(checkpointer, options.best_metric, options.best_mode, eval_period, folders=folders)


def build_writers(options: TrainOptions) -> list[EventWriter]:
    """The log with the time left, metrics.json, TensorBoard, and W&B where it is enabled."""
    writers = default_writers(options.output_dir, options.max_iter)
    if options.wandb.enabled:
        writers.append(WandbWriter(options.wandb.params.model_dump(), options.model_dump()))
    return writers
