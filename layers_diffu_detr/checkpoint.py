"""Strict loading of weights: this project's checkpoints, released ones, and backbones pre-trained on ImageNet.

`checkpoint_names.py` says which tensor of the model a name in a file stands for.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from layers_diffu_detr.checkpoint_file import read_checkpoint
from layers_diffu_detr.checkpoint_names import BACKBONES, Renaming, canonical, rename, strip_prefixes
from layers_diffu_detr.class_rows import ClassRows, by_position, is_class_tensor

logger = logging.getLogger(__name__)

StateDict = dict[str, Tensor]

# The keys under which checkpoints keep their weights, or the weights' moving average, in order of preference.
_WRAPPERS = {"model": ("model", "state_dict", "model_state"), "ema": ("ema_state", "model_ema", "ema")}
_SCHEDULE = (
    r"(?:betas|(?:alphas|sqrt_alphas|sqrt_one_minus_alphas|log_one_minus_alphas|sqrt_recip_alphas|sqrt_recipm1_alphas)"
    r"_cumprod|alphas_cumprod_prev|posterior_(?:variance|log_variance_clipped|mean_coef1|mean_coef2))"
)
# A tensor of such a name may be in a checkpoint, although the model has none of this name.
_IGNORABLE = {
    re.compile(r"^(?:stem\.)?(?:fc|head)\.(?:weight|bias)$"): "classifier of the backbone's pre-training",
    re.compile(rf"^(?:diffusion\.)?{_SCHEDULE}$"): "schedule buffer, determined by the config",
    re.compile(r"^pixel_(?:mean|std)$"): "pixel statistics, determined by the config",
    re.compile(r"\.num_batches_tracked$"): "batch count of a norm that is frozen here",
}
_BATCH_COUNT = ".num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Attributes:
        source: the file, or "state dict".
        loaded: names in the model that got a value.
        renamed: name in the checkpoint -> name in the model, where they differ.
        ignored: name in the checkpoint -> the reason why the model does not need it.
        initialised: names in the model that keep their initialisation. After loading a backbone's pre-training, these
            are all names outside the backbone.
        class_rows: the classes whose rows were kept and those that are new; None if all rows were loaded as given.
    """

    source: str
    loaded: list[str]
    renamed: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)
    class_rows: ClassRows | None = None

    def __str__(self) -> str:
        counts = f"{len(self.loaded)} tensors loaded, {len(self.renamed)} renamed, {len(self.ignored)} ignored"
        reasons = sorted(set(self.ignored.values()))
        lines = [f"{self.source}: {counts}, {len(self.initialised)} left at initialisation"]
        lines += [f"  ignored {sum(r == why for r in self.ignored.values())}: {why}" for why in reasons]
        lines += [f"  initialised: {name}" for name in _by_module(self.initialised)]
        lines += [] if self.class_rows is None else [f"  {self.class_rows}"]
        return "\n".join(lines)


def load_weights(
    model: nn.Module,
    source: str | os.PathLike | Mapping[str, Any],
    *,
    select: Literal["model", "ema"] = "model",
    class_rows: ClassRows | None = None,
    classless_heads: Collection[str] = (),
) -> LoadReport:
    """Load weights into `model`: either all weights of the model, or all weights of its backbone and no others.

    The names in the checkpoint may differ from the model's in the ways that `checkpoint_names.py` lists. Parts of the
    model that a checkpoint may lack, by its `checkpoint_names()`, keep their initialisation.

    Args:
        model: its state dict says what is needed.
        source: a file (.pth and the like of torch.save, .safetensors, or .pkl of detectron2's model zoo), or what such
            a file holds: a state dict, on its own or under "model", "state_dict" or "ema_state".
        select: "ema" loads the weights' moving average, where a checkpoint has one, in the place of the weights.
        class_rows: which rows of class heads and label embeddings to take; None takes all as they are.
        classless_heads: class heads, such as "class_embed.6", whose rows mean no classes. They keep their order.

    Returns:
        What was loaded, renamed, ignored and left at initialisation; it is also logged.

    Raises:
        ValueError: something is missing, unexpected, of another shape or no tensor, or two entries name one tensor but
            hold different values. The message lists names and shapes, and the model is unchanged.
        FileNotFoundError: there is no such file.
    """
    given, origin = _weights_in(source, select)
    needed = model.state_dict()
    renaming = rename(given, model)
    values, ignored = _collect(given, renaming, needed, _rebuilt_buffers(model, needed), origin)
    fitted = {} if class_rows is None else _fit_classes(values, needed, class_rows, classless_heads)
    values |= fitted
    loaded = [name for name in needed if canonical(name) in values]
    initialised = _left_at_initialisation(loaded, needed, renaming.may_lack)
    _check(needed, values, initialised, origin)
    with torch.no_grad():
        for name in loaded:
            needed[name].copy_(values[canonical(name)])
    renamed = {name: target for name, target in renaming.targets.items() if name not in {*ignored, target}}
    report = LoadReport(origin, loaded, renamed, ignored, initialised, class_rows if fitted else None)
    logger.info("%s", report)
    return report


def _weights_in(source: str | os.PathLike | Mapping[str, Any], select: str) -> tuple[StateDict, str]:
    """The tensors of a checkpoint by name, and what messages call it."""
    content, origin = (source, "state dict") if isinstance(source, Mapping) else (read_checkpoint(source), str(source))
    given = _tensors(_unwrap(content, select, origin), origin)
    return {name: given[wrapped] for wrapped, name in strip_prefixes(given).items()}, origin


def has_averages(source: str | os.PathLike) -> bool:
    """Whether a checkpoint file holds the weights' moving average.

    Raises:
        ValueError: see `read_checkpoint`.
        FileNotFoundError: there is no such file.
    """
    content = read_checkpoint(source)
    return any(isinstance(content.get(key), Mapping) for key in _WRAPPERS["ema"])


def _unwrap(content: Mapping[str, Any], select: str, origin: str) -> Mapping[str, Any]:
    """The state dict that a checkpoint holds."""
    if select not in _WRAPPERS:
        raise ValueError(f"select is {select!r}; allowed are {sorted(_WRAPPERS)}")
    for key in _WRAPPERS[select]:
        if isinstance(content.get(key), Mapping):
            return content[key]
    if select == "ema":
        raise ValueError(f"{origin} has no moving average: none of {_WRAPPERS['ema']} is among {sorted(content)}")
    return content


def _tensors(state: Mapping[str, Any], origin: str) -> StateDict:
    """The state dict's values as tensors."""
    tensors = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            value = torch.from_numpy(value.copy())  # a tensor cannot share a read-only array, which pickles may hold
        if not isinstance(value, Tensor):
            raise ValueError(f"{origin}: {name!r} is a {type(value).__name__}; only tensors and arrays are allowed")
        tensors[name] = value
    return tensors


def _rebuilt_buffers(model: nn.Module, needed: StateDict) -> set[str]:
    """Names of the buffers that the model computes itself and leaves out of its state dict."""
    return {name for name, _ in model.named_buffers()} - needed.keys()


def _collect(
    given: StateDict, renaming: Renaming, needed: StateDict, rebuilt: set[str], origin: str
) -> tuple[StateDict, dict[str, str]]:
    """Sort a checkpoint's tensors into those that are loaded and those that are ignored.

    Returns:
        Canonical name in the model -> value; tensors that the model does not know are among them, under their own name.
        Name in the checkpoint -> the reason why it is ignored.
    """
    known = {canonical(name) for name in needed}
    values: StateDict = {}
    ignored = dict(renaming.ignored)
    for name, target in renaming.targets.items():
        value, target = given[name], canonical(target)
        if target not in known and (reason := _reason_to_ignore(name, rebuilt)):
            ignored[name] = reason
        elif target not in values:
            values[target] = value
        elif values[target].shape != value.shape or not torch.equal(values[target], value):
            raise ValueError(f"{origin}: {name} and {target} name one tensor in the model, but hold different values")
        elif name not in needed:
            ignored[name] = "second name of a head"
    return values, ignored


def _fit_classes(values: StateDict, needed: StateDict, rows: ClassRows, classless_heads: Collection[str]) -> StateDict:
    """Those of `values` that have a row for each class, with the rows of the model's classes."""
    fitted = {}
    for name in needed.keys() & values.keys():
        if name.rpartition(".")[0] in classless_heads:
            fitted[name] = by_position(values[name], needed[name])
        elif is_class_tensor(name):
            fitted[name] = rows.fitted(name, values[name], needed[name])
    return fitted


def _reason_to_ignore(name: str, rebuilt: set[str]) -> str | None:
    if name in rebuilt:
        return "buffer that the model computes"
    return next((reason for pattern, reason in _IGNORABLE.items() if pattern.search(name)), None)


def _left_at_initialisation(loaded: list[str], needed: StateDict, may_lack: set[str]) -> list[str]:
    """The names that were not loaded and need not be.

    A checkpoint need not have `may_lack` and the batch counts of norms. If nothing but the backbone was loaded, it was
    a pre-training, which need not have anything outside the backbone.
    """
    backbone = next((p for p in BACKBONES if loaded and all(name.startswith(p) for name in loaded)), "")
    absent = needed.keys() - set(loaded)
    return [
        name
        for name in needed
        if name in absent and (name.endswith(_BATCH_COUNT) or name in may_lack or not name.startswith(backbone))
    ]


def _check(needed: StateDict, values: StateDict, initialised: list[str], origin: str) -> None:
    """Raise a ValueError unless the values are exactly those that the model needs, in its shapes."""
    known = {canonical(name) for name in needed}
    excused = set(initialised)
    missing, other_shape = [], []
    for name, tensor in needed.items():
        value = values.get(canonical(name))
        if value is None and name not in excused:
            missing.append(f"{name} {tuple(tensor.shape)}")
        if value is not None and value.shape != tensor.shape:
            other_shape.append(f"{name} {tuple(value.shape)}, the model has {tuple(tensor.shape)}")
    unexpected = [f"{name} {tuple(value.shape)}" for name, value in values.items() if name not in known]
    problems = {"missing": missing, "unexpected": unexpected, "other shape": other_shape}
    if any(problems.values()):
        lists = [f"\n{len(names)} {what}:\n  " + "\n  ".join(names) for what, names in problems.items() if names]
        raise ValueError(f"{origin} does not fit the model:" + "".join(lists))


def _by_module(names: list[str]) -> list[str]:
    """The top-level modules that `names` belong to, each with the number of its tensors."""
    modules = Counter(name.split(".")[0] for name in names)
    return [f"{module} ({count})" for module, count in modules.items()]
