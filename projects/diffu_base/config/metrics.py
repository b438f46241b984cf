"""Checks that an evaluation reports the metric by which a run keeps its best weights."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from datasets_utils.evaluation.backends import COCO_METRICS, LVIS_METRICS

from .options.base import is_call
from .options.catalog import options_of
from .options.detectors import DetectorOptions
from .options.evaluation import CocoStyleOptions, LvisStyleOptions
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


def metrics_before_data(evaluator: Any, best_metric: str) -> MetricNames | None:
    """What a config's evaluator may report, as far as that is known before its data are read.

    COCO style lists the AP of every class. Which classes there are is not known yet, so that of `best_metric`
    passes.

    Returns:
        The names of the metrics of a task; None for an evaluator that is not this project's.
    """
    options = options_of(evaluator["_target_"]) if is_call(evaluator) else None
    if options is LvisStyleOptions:
        return lambda task: LVIS_METRICS
    if options is CocoStyleOptions:
        name = best_metric.partition("/")[2]
        return lambda task: (*COCO_METRICS, name) if name.startswith(_OF_A_CLASS) else COCO_METRICS
    return None


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
