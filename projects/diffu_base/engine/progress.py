"""Hooks that a person at a terminal wants: a bar with the time left, and an end when nothing gets better."""

from typing import Any, Protocol

from detectron2.engine import HookBase
from detectron2.utils import comm
from tqdm import tqdm


class TrainingEnds(BaseException):
    """Ends a training as if it had reached its last iteration. It is no error, so no handler of errors may take it."""


class BestSoFar(Protocol):
    """Counts the evaluations in a row that were not better than the best, see `hooks.KeepBest`."""

    metric: str
    without_gain: int


class StopEarly(HookBase):
    """Ends the training after `patience` evaluations in a row that were not better; it saves ``model_final.pth``.

    In the list of hooks, this one must come after the one that counts.
    """

    def __init__(self, checkpointer: Any, best: BestSoFar, patience: int) -> None:
        self.checkpointer = checkpointer
        self.best = best
        self.patience = patience

    def after_step(self) -> None:
        iteration = self.trainer.iter
        without_gain = comm.all_gather(self.best.without_gain)[0]  # rank 0 alone counts
        if without_gain < self.patience or iteration + 1 >= self.trainer.max_iter:
            return
        self.checkpointer.save("model_final", iteration=iteration)
        self.trainer.iter = self.trainer.max_iter = iteration + 1  # the other hooks see a run that is complete
        raise TrainingEnds(f"{self.best.metric} did not get better in {self.patience} evaluations")


class ProgressBar(HookBase):
    """Shows the iterations, the time left, the loss and the last AP; it shows nothing where there is no terminal."""

    def __init__(self, max_iter: int) -> None:
        self.max_iter = max_iter
        self.bar: tqdm | None = None

    def before_train(self) -> None:
        first = self.trainer.start_iter
        self.bar = tqdm(total=self.max_iter, initial=first, unit="it", disable=None, dynamic_ncols=True)

    def after_step(self) -> None:
        assert self.bar is not None  # before_train made it
        if not self.bar.disable:
            latest = self.trainer.storage.latest()
            shown = {name: latest[key][0] for key, name in (("total_loss", "loss"), ("bbox/AP", "AP")) if key in latest}
            self.bar.set_postfix({name: f"{value:.2f}" for name, value in shown.items()}, refresh=False)
        self.bar.update()

    def after_train(self) -> None:
        if self.bar is not None:
            self.bar.close()
