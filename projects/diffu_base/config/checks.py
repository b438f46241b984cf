"""Reads the config of a run, checks its values and chooses the device before anything runs."""

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.utils import comm
from omegaconf import DictConfig

from .classes import check_class_count, classes_of_annotations, classes_of_own_data, registered_classes
from .files import get_config
from .metrics import check_best_metric, metrics_before_data
from .options.base import Options, is_call, join_key
from .options.catalog import name_of, options_of, takes
from .options.run import RunOptions
from .options.train import TrainOptions
from .walk import find_calls, interpolation_at, plain_values

logger = logging.getLogger(__name__)

PARTS = ("train", "model", "dataloader", "optimizer", "lr_multiplier")


def load_config(config_file: str, overrides: Sequence[str] = (), *, num_gpus: int) -> DictConfig:
    """Read the config of a run: apply the overrides, check the values and choose the device.

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
    """Check that `cfg` is a run and that its values are allowed. No data are read.

    Raises:
        ValueError: naming each wrong key, its value and what is allowed.
    """
    for key in PARTS:
        if key not in cfg:
            raise ValueError(f"the config has no {key!r}; it has {', '.join(map(str, cfg.keys()))}")
    values = plain_values(cfg)
    problems = wrong_values(values)
    # Interpolations copy a wrong value to other keys. The error names only the key at which the value is set.
    own = {key: problem for key, problem in problems.items() if interpolation_at(cfg, key) is None}
    known = {_value(problem) for problem in own.values()}
    told = own | {key: problem for key, problem in problems.items() if _value(problem) not in known}
    if told:
        raise ValueError("\n".join(f"{key} {problem}" for key, problem in told.items()))
    check_class_count(values["model"], values["dataloader"], registered_classes)
    _check_metric(values)
    for line in unread_keys(values):
        logger.warning(line)


def _check_metric(values: Mapping[str, Any]) -> None:
    options = TrainOptions.read(values["train"], "train")
    best_metric = options.checkpointer.best_metric
    names = metrics_before_data(values["dataloader"].get("evaluator"), best_metric)
    if best_metric and names is not None:
        check_best_metric(best_metric, names, model=values["model"], ema=options.model_ema)


def wrong_values(values: Mapping[str, Any]) -> dict[str, str]:
    """The problems of the plain values of a run: key -> what is wrong, see `Options.problems`."""
    problems = RunOptions.problems(values, "")
    for key, call in find_calls(values):
        try:
            options = options_of(call["_target_"])
        except ValueError as error:
            problems[join_key(key, "_target_")] = f"is {call['_target_']!r}; {error}"
            continue
        if options is not None:
            arguments = {name: value for name, value in call.items() if not name.startswith("_")}
            problems |= options.problems(arguments, key)
            problems |= _unknown_arguments(call["_target_"], options, arguments, key)
    return problems


def _value(problem: str) -> str:
    return problem.partition(";")[0]


def unread_keys(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for every key that nothing reads, in those parts of a run's plain values that options describe."""
    yield from RunOptions.unread_in_parts(values, "")
    for key, call in find_calls(values):
        options = options_of(call["_target_"])
        if options is not None:
            yield from options.unread_in_parts(call, key)


def _unknown_arguments(target: Any, options: type[Options], arguments: Iterable[str], key: str) -> dict[str, str]:
    problems = {}
    for argument in arguments:
        if argument not in options.model_fields and not takes(target, argument):
            near = difflib.get_close_matches(argument, options.model_fields, n=3) or list(options.model_fields)
            name = name_of(target).rpartition(".")[2]
            problems[join_key(key, argument)] = f"is no argument of {name}; it takes {', '.join(near) or 'none'}"
    return problems


def resolve_device(device: str, *, num_gpus: int) -> str:
    """The torch device of ``train.device``; with ``--num-gpus 0`` it is the CPU.

    Raises:
        ValueError: CUDA is asked for but not available.
    """
    if num_gpus == 0 or device == "cpu":
        return "cpu"
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available():
        raise ValueError(f"train.device is {device!r}, but PyTorch finds no CUDA device; use train.device=auto or cpu")
    return device


def check_data(cfg: DictConfig, *, training: bool) -> None:
    """Check that the data of a run fit its model and that the run can be evaluated, before anything slow starts.

    If the config has a ``data_check``, it is called.

    Args:
        training: False leaves out the training data.

    Raises:
        ValueError: the number of classes is not that of the data, the data have faults (the error is the report), or
            the evaluation will not report ``train.checkpointer.best_metric``.
        FileNotFoundError: the data to evaluate on do not exist.
    """
    values = plain_values(cfg)
    for count in (registered_classes, classes_of_own_data, classes_of_annotations):
        check_class_count(values["model"], values["dataloader"], count)
    if training:
        _check_batch(values)
    if "data_check" in cfg:
        if not training:
            cfg.data_check.train = None
        instantiate(cfg.data_check)
    # If the evaluator cannot work, it raises its error here, not after thousands of iterations.
    evaluator: Any = instantiate(cfg.dataloader.evaluator) if "evaluator" in cfg.dataloader else None
    options = TrainOptions.of(cfg)
    best_metric = options.checkpointer.best_metric
    if training and best_metric:
        if evaluator is None:
            raise ValueError(
                f"train.checkpointer.best_metric is {best_metric!r}; there is no dataloader.evaluator for it"
            )
        if hasattr(evaluator, "metric_names"):  # an evaluator of one's own may lack them
            check_best_metric(best_metric, evaluator.metric_names, model=values["model"], ema=options.model_ema)


def _check_batch(values: Mapping[str, Any]) -> None:
    """Check that a batch can be divided among the processes, and each share into the accumulation steps."""
    loader = values["dataloader"].get("train")
    size = loader.get("total_batch_size") if is_call(loader) else None
    if not isinstance(size, int):
        return
    processes, passes = comm.get_world_size(), values["train"].get("accumulation_steps", 1)
    if size % processes:
        raise ValueError(
            f"dataloader.train.total_batch_size is {size}; it must be a multiple of the {processes} processes"
        )
    if size // processes % passes:
        raise ValueError(
            f"train.accumulation_steps is {passes}; it must divide the {size // processes} images of one process"
        )
