"""Evaluation of a model: on its own, and during training."""

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from omegaconf import DictConfig
from torch import nn

from datasets_utils.evaluation.evaluators import DetectionEvaluator
from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.options.train import TrainOptions

from .build import new_model
from .checkpoint import last_checkpoint
from .cost import measured
from .ema import EMAState, unwrap
from .results import Results, write_results
from .rng import preserved_rng
from .weight_files import local_path

DETECTIONS = "detections"  # the name of the file of detections begins with it

logger = logging.getLogger(__name__)


def checkpoint_to_evaluate(init_checkpoint: str, output_dir: str, *, resume: bool) -> str:
    """Path of the weights to evaluate: `init_checkpoint`, or with `resume` the run's last checkpoint if it has one.

    Raises:
        ValueError: no checkpoint is named.
    """
    path = (last_checkpoint(output_dir) if resume else None) or init_checkpoint
    if not path:
        raise ValueError(
            "evaluation needs weights: set train.init_checkpoint=FILE, or --resume for the last checkpoint of "
            f"train.output_dir {output_dir!r}"
        )
    return path


def load_for_eval(model: nn.Module, path: str, *, averaged: bool) -> None:
    """Load the weights to evaluate.

    Args:
        path: as `local_path` takes it.
        averaged: take the averaged weights.

    Raises:
        ValueError: no checkpoint is named, it lacks averaged weights that are asked for, or it holds a backbone alone.
    """
    if not path:
        raise ValueError("evaluation needs weights: set train.init_checkpoint=FILE")
    file = local_path(path)
    try:
        report = load_weights(model, file, select="ema" if averaged else "model")
    except ValueError as error:
        if not averaged:
            raise
        raise ValueError(
            f"{error}\n(train.model_ema.use_ema_weights_for_eval_only=False evaluates the plain weights)"
        ) from error
    if any(not name.startswith("backbone.") for name in report.initialised):
        raise ValueError(f"{path} holds a backbone alone, which cannot be evaluated; set train.init_checkpoint=FILE")
    logger.info(f"Evaluating the {'averaged' if averaged else 'plain'} weights of {path}")


def model_to_evaluate(model: DictConfig, options: TrainOptions) -> nn.Module:
    """Build the model of the config `model` in evaluation mode, with the weights that a run with these options
    evaluates.

    Raises:
        ValueError: see `load_for_eval`.
    """
    built = new_model(model, options)
    load_for_eval(built, options.init_checkpoint, averaged=options.evaluates_averages)
    return built.eval()


def evaluate(
    model: nn.Module,
    dataloader: DictConfig,
    *,
    dtype: torch.dtype | None = None,
    detections_file: str = "",
    facts: dict[str, Any] | None = None,
) -> Results:
    """Evaluate the model on `dataloader.test` by `dataloader.evaluator`. Random generators keep their states.

    All ranks call this together. If there is a `dataloader.test_time_augmentation`, it wraps the model.

    Args:
        dtype: the type of autocast; None for float32.
        detections_file: where rank 0 writes the detections and what they cost, see `SavedDetections`; empty: nowhere.
        facts: what this file also tells, as JSON values.

    Returns:
        detectron2's results, task -> metric -> value; empty on all ranks but 0.

    Raises:
        ValueError: there is no `test` or no `evaluator`.
    """
    for key in ("test", "evaluator"):
        if key not in dataloader:
            raise ValueError(f"evaluation needs dataloader.{key}; dataloader has {', '.join(map(str, dataloader))}")
    model = unwrap(model)
    share_buffers(model)
    device_type = next(model.parameters()).device.type
    with preserved_rng(), torch.autocast(device_type, dtype=dtype, enabled=dtype is not None):
        loader, evaluator = instantiate(dataloader.test), instantiate(dataloader.evaluator)
        augmented = _augmented(model, dataloader)
        with measured(augmented) as cost:
            results = inference_on_dataset(augmented, loader, evaluator)
    if comm.is_main_process():
        print_csv_format(results)
        if detections_file:
            _save_detections(evaluator, detections_file, {**(facts or {}), "cost": cost.facts(model)})
    return results


def _save_detections(evaluator: DatasetEvaluator, path: str, facts: dict[str, Any]) -> None:
    """Write the file of detections; without detections, remove an older one, which would be of other weights."""
    saved = evaluator.saved_detections(facts) if isinstance(evaluator, DetectionEvaluator) else None
    if saved is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        saved.save(path)
    elif os.path.isfile(path):
        os.remove(path)


def _augmented(model: nn.Module, dataloader: DictConfig) -> nn.Module:
    if "test_time_augmentation" not in dataloader:
        return model
    return instantiate({**dataloader.test_time_augmentation, "model": model})


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Copy rank 0's buffers, such as batch norm's statistics, to all ranks: checkpoints hold those of rank 0."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def evaluate_in_training(
    evaluate_model: Callable[[str], Results],
    model: nn.Module,
    ema: EMAState | None,
    *,
    averages_first: bool,
    both: bool,
) -> Results:
    """Evaluate the weights that ``--eval-only`` would evaluate, and with `both` also the others.

    Of the averaged and the plain weights, the others are those that ``--eval-only`` would leave out. Their tasks are
    called ``bbox_raw`` if they are the plain ones, ``bbox_ema`` if they are the averages.

    Args:
        evaluate_model: evaluates the weights that `model` has; it gets what follows the names of their tasks.
        averages_first: whether ``--eval-only`` evaluates the averaged weights.
    """
    if ema is None:
        return evaluate_model("")
    of_averages, of_plain = ("", "_raw") if averages_first else ("_ema", "")
    results: Results = {}
    if averages_first or both:
        logger.info("Evaluating the averaged weights")
        with ema.applied_to(model):
            averaged = evaluate_model(of_averages)
        results.update({f"{task}{of_averages}": metrics for task, metrics in averaged.items()})
    if not averages_first or both:
        logger.info("Evaluating the plain weights")
        plain = evaluate_model(of_plain)
        results.update({f"{task}{of_plain}": metrics for task, metrics in plain.items()})
    return results


class EvaluationInTraining:
    """Evaluates a run's model when the trainer calls it and writes ``results.json`` and ``detections.npz``.

    Args:
        ema: averages that may be evaluated too.
        dataloader: see `evaluate`; without an `evaluator` nothing is evaluated.
        options: those of the run.

    Attributes:
        results: of the last evaluation.
    """

    def __init__(self, model: nn.Module, ema: EMAState | None, dataloader: DictConfig, options: TrainOptions) -> None:
        self.model = model
        self.ema = ema
        self.dataloader = dataloader
        self.options = options
        self.results: Results = {}

    def __call__(self) -> Results:
        """The results; empty without an evaluator."""
        if "evaluator" not in self.dataloader:
            return {}
        options = self.options
        iterations = min(get_event_storage().iter + 1, options.max_iter)
        self.results = evaluate_in_training(
            lambda suffix: self._evaluate(suffix, iterations),
            self.model,
            self.ema,
            averages_first=options.model_ema.use_ema_weights_for_eval_only,
            both=options.model_ema.eval_both,
        )
        write_results(options.output_dir, self.results, iterations=iterations)
        return self.results

    def _evaluate(self, suffix: str, iterations: int) -> Results:
        file = detections_file(self.options.output_dir, suffix)
        facts = {"iterations": iterations}
        return evaluate(self.model, self.dataloader, dtype=self.options.eval_dtype, detections_file=file, facts=facts)


def detections_file(output_dir: str, suffix: str = "") -> str:
    """Path of the detections of a run's last evaluation."""
    return os.path.join(output_dir, f"{DETECTIONS}{suffix}.npz")


def evaluate_run(cfg: DictConfig, *, resume: bool) -> Results:
    """Evaluate the weights of ``train.init_checkpoint``, or with `resume` the run's last.

    It writes ``results.json`` and ``detections.npz`` into ``train.output_dir``.

    Raises:
        ValueError: see `checkpoint_to_evaluate` and `load_for_eval`.
    """
    options = TrainOptions.of(cfg)
    checkpoint = checkpoint_to_evaluate(options.init_checkpoint, options.output_dir, resume=resume)
    model = new_model(cfg.model, options)
    load_for_eval(model, checkpoint, averaged=options.evaluates_averages)
    results = evaluate(
        model,
        cfg.dataloader,
        dtype=options.eval_dtype,
        detections_file=detections_file(options.output_dir),
        facts={"checkpoint": checkpoint},
    )
    write_results(options.output_dir, results, checkpoint=checkpoint)
    return results
