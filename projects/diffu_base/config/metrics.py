"""Checks that an evaluation reports the metric by which a run keeps its best weights."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from .options.base import is_call
from .options.catalog import options_of
from .options.detectors import DetectorOptions
from .options.train import EmaOptions

MetricNames = Callable[[str], Iterable[str]]  # from a task to the names of its metrics

_OF_A_CLASS = "AP-"


def check_best_metric(best_metric: str, metric_names: MetricNames, *, model: Any, ema: EmaOptions) -> None:
    """Check that the evaluations of a training report `best_metric`.

    Args:
        best_metric: such as "bbox/AP".
        metric_names: what the evaluator reports.
        model: the config's; if no options describe it, it is unknown whether it predicts masks.
        ema: tells whether two sets of weights are evaluated.

    Raises:
        ValueError: naming the metrics that they report.
    """
    names = [
        f"{task}{suffix}/{name}"
        for task in tasks_of(model)
        for suffix in suffixes_of(ema)
        for name in metric_names(task)
    ]
    if best_metric in names:
        return
    near = difflib.get_close_matches(best_metric, [name for name in names if _OF_A_CLASS in name], n=3)
    shown = [name for name in names if _OF_A_CLASS not in name]
    raise ValueError(
        f"train.checkpointer.best_metric is {best_metric!r}; the evaluation reports {', '.join(shown + near)}"
        + (f" and {_OF_A_CLASS} of every class" if len(shown) < len(names) else "")
    )


def tasks_of(model: Any) -> tuple[str, ...]:
    """The tasks that the model of a config can be evaluated in."""
    options = options_of(model["_target_"]) if is_call(model) else None
    if options is not None and issubclass(options, DetectorOptions) and not options.predicts_masks:
        return ("bbox",)
    return ("bbox", "segm")


def suffixes_of(ema: EmaOptions) -> tuple[str, ...]:
    """What is appended to a task's name where averaged and plain weights are both evaluated."""
    if not (ema.enabled and ema.eval_both):
        return ("",)
    return ("", "_raw" if ema.use_ema_weights_for_eval_only else "_ema")
