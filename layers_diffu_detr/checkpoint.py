"""Strict loading of weights: released checkpoints, detrex's model zoo, ImageNet backbones and this project's own."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from layers_diffu_detr.checkpoint_file import read_checkpoint

logger = logging.getLogger(__name__)

StateDict = dict[str, Tensor]

# Under which keys checkpoints keep their weights, in order of preference.
_WRAPPERS = {"model": ("model", "state_dict", "model_state"), "ema": ("ema_state", "model_ema", "ema")}
# Parallel and compiled models prepend these to every name.
_MODULE_PREFIXES = ("module.", "_orig_mod.")
# Where models keep the network that pre-training knows: inside a feature pyramid, or on its own.
_BACKBONES = ("backbone.bottom_up.", "backbone.")
# The decoder and the model list the same heads: two names, one tensor.
_DECODER_HEAD = re.compile(r"^transformer\.decoder\.(?=(?:class|bbox)_embed\.)")
# The released DiffusionInst keeps its mask branch among the heads.
_RELEASED_RENAMES = (
    (re.compile(r"^head\.mask_refine\."), "mask_branch.refine."),
    (re.compile(r"^head\.mask_head\."), "mask_branch.tower."),
)
_SCHEDULE = (
    r"(?:betas|(?:alphas|sqrt_alphas|sqrt_one_minus_alphas|log_one_minus_alphas|sqrt_recip_alphas|sqrt_recipm1_alphas)"
    r"_cumprod|alphas_cumprod_prev|posterior_(?:variance|log_variance_clipped|mean_coef1|mean_coef2))"
)
_IGNORABLE = {
    re.compile(r"^(?:stem\.)?(?:fc|head)\.(?:weight|bias)$"): "classifier of the backbone's pre-training",
    re.compile(rf"^(?:diffusion\.)?{_SCHEDULE}$"): "schedule buffer, determined by the config",
    re.compile(r"^pixel_(?:mean|std)$"): "pixel statistics, determined by the config",
    re.compile(r"^criterion\.fed_loss_cls_weights$"): "class frequencies, determined by the config",
    re.compile(r"\.num_batches_tracked$"): "batch count of a norm that is frozen here",
}
_BATCH_COUNT = ".num_batches_tracked"
# torchvision's ResNet names to detectron2's, in this order.
_TORCHVISION_RENAMES = (
    (re.compile(r"^(conv1|bn1)\."), r"stem.\1."),
    (re.compile(r"^layer([1-4])\."), lambda match: f"res{int(match[1]) + 1}."),
    (re.compile(r"\bbn([1-3])\."), r"conv\1.norm."),
    (re.compile(r"\.downsample\.0\."), ".shortcut."),
    (re.compile(r"\.downsample\.1\."), ".shortcut.norm."),
)


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    Attributes:
        source: the file, or "state dict".
        loaded: names in the model that got a value.
        renamed: name in the checkpoint to name in the model, where they differ.
        ignored: name in the checkpoint to the reason that it was not needed.
        initialised: names in the model that keep their initialisation: all but the backbone, for a backbone's weights.
    """

    source: str
    loaded: list[str]
    renamed: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{len(self.loaded)} tensors loaded, {len(self.renamed)} renamed, {len(self.ignored)} ignored"
        reasons = sorted(set(self.ignored.values()))
        lines = [f"{self.source}: {counts}, {len(self.initialised)} left at initialisation"]
        lines += [f"  ignored {sum(r == why for r in self.ignored.values())}: {why}" for why in reasons]
        lines += [f"  initialised: {name}" for name in _by_module(self.initialised)]
        return "\n".join(lines)


def load_weights(
    model: nn.Module, source: str | os.PathLike | Mapping[str, Any], *, select: Literal["model", "ema"] = "model"
) -> LoadReport:
    """Load weights into `model`: all of them, or the whole backbone's and nothing else's.

    Files of pre-trained backbones may have other names: torchvision's for a ResNet, and those of a backbone's method
    `pretrained_names()`, which gives each name of the pre-training its name in the backbone, or None where the backbone
    does not need it. What it gives no name stays at its initialisation. So do parts of the model that its attribute
    `added_parts` names, which a checkpoint of the model without them lacks as a whole.

    Args:
        model: its state dict says what is needed.
        source: a file (.pth and the like of torch.save, .safetensors, or .pkl of detectron2's model zoo), or what such
            a file holds: a state dict, on its own or under "model", "state_dict" or "ema_state".
        select: the weights, or their moving average where a checkpoint has one.

    Returns:
        What was loaded, renamed, ignored and left at initialisation; it is also logged.

    Raises:
        ValueError: something is missing or unexpected, shapes differ, heads that should be one tensor differ, or the
            file holds more than tensors. The message lists names and shapes; the model is then unchanged.
        FileNotFoundError: there is no such file.
    """
    content, origin = (source, "state dict") if isinstance(source, Mapping) else (read_checkpoint(source), str(source))
    given = _strip_prefixes(_tensors(_unwrap(content, select, origin), origin))
    needed = model.state_dict()
    targets, untrained = _rename(given, needed, model)
    untrained |= _absent_parts(model, needed, targets)
    values, ignored = _collect(given, targets, needed, _rebuilt_buffers(model, needed), origin)
    loaded = [name for name in needed if _canonical(name) in values]
    initialised = _left_at_initialisation(loaded, needed, untrained)
    _check(needed, values, initialised, origin)
    with torch.no_grad():
        for name in loaded:
            needed[name].copy_(values[_canonical(name)])
    renamed = {name: target for name, target in targets.items() if name not in ignored and name != target}
    report = LoadReport(origin, loaded, renamed, ignored, initialised)
    logger.info("%s", report)
    return report


def _unwrap(content: Mapping[str, Any], select: str, origin: str) -> Mapping[str, Any]:
    """The state dict within a checkpoint."""
    if select not in _WRAPPERS:
        raise ValueError(f"select is {select!r}; allowed are {sorted(_WRAPPERS)}")
    for key in _WRAPPERS[select]:
        if isinstance(content.get(key), Mapping):
            return content[key]
    if select == "ema":
        raise ValueError(f"{origin} has no moving average: none of {_WRAPPERS['ema']} is among {sorted(content)}")
    return content


def _tensors(state: Mapping[str, Any], origin: str) -> StateDict:
    """All values as tensors."""
    tensors = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            value = torch.from_numpy(value.copy())  # arrays of a pickle may be read-only
        if not isinstance(value, Tensor):
            raise ValueError(f"{origin}: {name!r} is a {type(value).__name__}; only tensors and arrays are allowed")
        tensors[name] = value
    return tensors


def _strip_prefixes(given: StateDict) -> StateDict:
    """Names without what parallel and compiled models prepend to all of them."""
    for prefix in _MODULE_PREFIXES:
        if given and all(name.startswith(prefix) for name in given):
            return _strip_prefixes({name.removeprefix(prefix): value for name, value in given.items()})
    return given


def _canonical(name: str) -> str:
    """One name for what the decoder and the model both list."""
    return _DECODER_HEAD.sub("", name)


def _rename(given: StateDict, needed: StateDict, model: nn.Module) -> tuple[dict[str, str | None], set[str]]:
    """How the names of a checkpoint become the model's.

    Returns:
        Name in the checkpoint -> name in the model, for every entry: unknown ones keep theirs, needless ones get None.
        The model's names that the checkpoint, a backbone's pre-training, cannot have.
    """
    known = {_canonical(name) for name in needed}
    if known.isdisjoint(map(_canonical, given)):
        targets, untrained = _rename_pretrained(given, needed, model)
        if not known.isdisjoint(targets.values()):
            return targets, untrained
    return {name: name if name in needed else _canonical(_replaced(name, _RELEASED_RENAMES)) for name in given}, set()


def _absent_parts(model: nn.Module, needed: StateDict, targets: Mapping[str, str | None]) -> set[str]:
    """Names within those of the model's `added_parts` of which the checkpoint has nothing."""
    given, absent = set(targets.values()), set()
    for part in getattr(model, "added_parts", ()):
        names = {name for name in needed if name.startswith(f"{part}.")}
        if names.isdisjoint(given):
            absent |= names
    return absent


def _rename_pretrained(given: StateDict, needed: StateDict, model: nn.Module) -> tuple[dict[str, str | None], set[str]]:
    """`_rename` for a file that knows nothing but the backbone."""
    prefix = next((p for p in _BACKBONES if any(name.startswith(p) for name in needed)), _BACKBONES[-1])
    backbone = dict(model.named_modules()).get(prefix.removesuffix("."))
    if hasattr(backbone, "pretrained_names"):
        names = {name: target and prefix + target for name, target in backbone.pretrained_names().items()}
        untrained = {name for name in needed if name.startswith(prefix)} - set(names.values())
    else:
        names, untrained = {name: prefix + _detectron2_name(name) for name in given}, set()
    targets = {name: names.get(name, prefix + name) for name in given}
    return {name: target if target is None or target in needed else name for name, target in targets.items()}, untrained


def _detectron2_name(name: str) -> str:
    """torchvision's name for a ResNet's tensor as detectron2's; other names are returned as they are."""
    return _replaced(name, _TORCHVISION_RENAMES)


def _replaced(name: str, renames: Iterable[tuple[re.Pattern, Any]]) -> str:
    for pattern, replacement in renames:
        name = pattern.sub(replacement, name)
    return name


def _rebuilt_buffers(model: nn.Module, needed: StateDict) -> set[str]:
    """Buffers that the model's state dict leaves out."""
    return {name for name, _ in model.named_buffers()} - needed.keys()


def _collect(
    given: StateDict, targets: dict[str, str | None], needed: StateDict, rebuilt: set[str], origin: str
) -> tuple[StateDict, dict[str, str]]:
    """Values by canonical name in the model, unexpected ones included, and what is ignored, with the reason."""
    known = {_canonical(name) for name in needed}
    values, ignored = {}, {}
    for name, value in given.items():
        if targets[name] is None:
            ignored[name] = "part of the pre-training that the backbone does not have"
            continue
        target = _canonical(targets[name])
        if target not in known and (reason := _reason_to_ignore(name, rebuilt)):
            ignored[name] = reason
        elif target not in values:
            values[target] = value
        elif values[target].shape != value.shape or not torch.equal(values[target], value):
            raise ValueError(f"{origin}: {name} and {target} name one tensor in the model, but hold different values")
        elif name not in needed:
            ignored[name] = "second name of a head"
    return values, ignored


def _reason_to_ignore(name: str, rebuilt: set[str]) -> str | None:
    if name in rebuilt:
        return "buffer that the model computes"
    return next((reason for pattern, reason in _IGNORABLE.items() if pattern.search(name)), None)


def _left_at_initialisation(loaded: list[str], needed: StateDict, untrained: set[str]) -> list[str]:
    """What a checkpoint need not have: `untrained`, batch counts, and for a backbone's weights everything else."""
    backbone = next((p for p in _BACKBONES if loaded and all(name.startswith(p) for name in loaded)), "")
    absent = needed.keys() - set(loaded)
    return [
        name
        for name in needed
        if name in absent and (name.endswith(_BATCH_COUNT) or name in untrained or not name.startswith(backbone))
    ]


def _check(needed: StateDict, values: StateDict, initialised: list[str], origin: str) -> None:
    """Everything needed is there, in its shape, and nothing else is."""
    known = {_canonical(name) for name in needed}
    excused = set(initialised)
    missing, other_shape = [], []
    for name, tensor in needed.items():
        value = values.get(_canonical(name))
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
    """Top-level modules of `names` with the number of tensors in each."""
    modules = Counter(name.split(".")[0] for name in names)
    return [f"{module} ({count})" for module, count in modules.items()]
