"""Which tensor of a model each name in a checkpoint stands for.

Three kinds of checkpoint have other names than the model: detectors that others released, pre-trained backbones, and
torchvision's ResNets. A model lists the differences to a released detector in its method `checkpoint_names()`. A
backbone lists the names of its pre-training in its method `pretrained_names()`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import nn

# Models of this project keep their pre-trained backbone under one of these names: in a feature pyramid, or on its own.
BACKBONES = ("backbone.bottom_up.", "backbone.")
# Parallel and compiled models put these in front of every name.
_MODULE_PREFIXES = ("module.", "_orig_mod.")
# The decoder also holds the model's heads, so the state dict has two names for each of their tensors.
_DECODER_HEAD = re.compile(r"^transformer\.decoder\.(?=(?:class|bbox)_embed\.)")
# Applied one after another, these turn torchvision's names for a ResNet into detectron2's.
_TORCHVISION_RENAMES: tuple[tuple[re.Pattern, str | Callable[[re.Match], str]], ...] = (
    (re.compile(r"^(conv1|bn1)\."), r"stem.\1."),
    (re.compile(r"^layer([1-4])\."), lambda match: f"res{int(match[1]) + 1}."),
    (re.compile(r"\bbn([1-3])\."), r"conv\1.norm."),
    (re.compile(r"\.downsample\.0\."), ".shortcut."),
    (re.compile(r"\.downsample\.1\."), ".shortcut.norm."),
)


@dataclass(frozen=True)
class CheckpointNames:
    """How a model's checkpoints may differ from the model in their names. Its method `checkpoint_names()` returns this.

    Attributes:
        renamed: how a name begins in checkpoints -> how it begins in the model instead.
        ignored: how a name begins in checkpoints -> the reason why the model needs no such tensor.
        added_parts: modules that checkpoints of a simpler model lack. A part of which a checkpoint has no tensor at all
            keeps its initialisation.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    added_parts: tuple[str, ...] = ()


@runtime_checkable
class NamedInCheckpoints(Protocol):
    """A model whose checkpoints may have other names than the model."""

    def checkpoint_names(self) -> CheckpointNames: ...


@runtime_checkable
class PretrainedElsewhere(Protocol):
    """A backbone whose files of pre-training have other names than the backbone."""

    def pretrained_names(self) -> dict[str, str | None]:
        """Name in the file -> name in the backbone, or None for a tensor that the backbone does not need."""
        ...


@dataclass(frozen=True)
class Renaming:
    """What the names of one checkpoint mean for one model.

    Attributes:
        targets: name in the checkpoint -> name in the model. A name that means nothing to the model stays as it is.
        ignored: name in the checkpoint -> the reason why the model does not need it. These names are not in `targets`.
        may_lack: names in the model that this checkpoint need not have.
    """

    targets: dict[str, str]
    ignored: dict[str, str]
    may_lack: set[str]


def strip_prefixes(names: Collection[str]) -> dict[str, str]:
    """Name -> the name without what parallel and compiled models put in front of all names."""
    stripped = {name: name for name in names}
    while prefix := next((p for p in _MODULE_PREFIXES if names and all(n.startswith(p) for n in names)), None):
        stripped = {name: rest.removeprefix(prefix) for name, rest in stripped.items()}
        names = stripped.values()
    return stripped


def canonical(name: str) -> str:
    """The one of a tensor's two names that is not the decoder's; a tensor with one name keeps it."""
    return _DECODER_HEAD.sub("", name)


def rename(given: Collection[str], model: nn.Module) -> Renaming:
    """Find out what the names of a checkpoint mean.

    Args:
        given: the names in the checkpoint.
        model: its state dict says which names it needs.
    """
    needed = model.state_dict().keys()
    known = {canonical(name) for name in needed}
    if known.isdisjoint(map(canonical, given)):
        renaming = _of_pretraining(given, needed, model)
        if not known.isdisjoint(renaming.targets.values()):
            return renaming
    return _of_detector(given, needed, model)


def _of_detector(given: Collection[str], needed: Collection[str], model: nn.Module) -> Renaming:
    """The names of a whole detector's checkpoint."""
    names = model.checkpoint_names() if isinstance(model, NamedInCheckpoints) else CheckpointNames()
    targets, ignored = {}, {}
    for name in given:
        if name in needed:
            targets[name] = name
        elif (start := _beginning(name, names.ignored)) is not None:
            ignored[name] = names.ignored[start]
        elif (start := _beginning(name, names.renamed)) is not None:
            targets[name] = canonical(names.renamed[start] + name.removeprefix(start))
        else:
            targets[name] = canonical(name)
    parts = [{name for name in needed if name.startswith(f"{part}.")} for part in names.added_parts]
    return Renaming(targets, ignored, set().union(*(part for part in parts if part.isdisjoint(targets.values()))))


def _beginning(name: str, beginnings: Iterable[str]) -> str | None:
    return next((each for each in beginnings if name.startswith(each)), None)


def _of_pretraining(given: Collection[str], needed: Collection[str], model: nn.Module) -> Renaming:
    """The names of a checkpoint that holds a backbone's pre-training alone."""
    prefix = next((p for p in BACKBONES if any(name.startswith(p) for name in needed)), BACKBONES[-1])
    backbone = dict(model.named_modules()).get(prefix.removesuffix("."))
    names: dict[str, str | None] = {name: _detectron2_name(name) for name in given}
    may_lack: set[str] = set()
    if isinstance(backbone, PretrainedElsewhere):
        names = backbone.pretrained_names()
        trained = {prefix + target for target in names.values() if target is not None}
        may_lack = {name for name in needed if name.startswith(prefix)} - trained
    targets, ignored = {}, {}
    for name in given:
        target = names.get(name, name)
        if target is None:
            ignored[name] = "part of the pre-training that the backbone does not have"
        else:
            targets[name] = prefix + target if prefix + target in needed else name
    return Renaming(targets, ignored, may_lack)


def _detectron2_name(name: str) -> str:
    """detectron2's name for the tensor that torchvision's ResNet calls `name`; any other name is returned as it is."""
    for pattern, replacement in _TORCHVISION_RENAMES:
        name = pattern.sub(replacement, name)
    return name
