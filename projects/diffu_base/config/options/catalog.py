"""All options, by topic and by the name of what they explain."""

import inspect
from typing import Any

from detectron2.utils.registry import locate

from . import (
    augmentation,
    backbones,
    criterion,
    data,
    detectors,
    diffusion,
    evaluation,
    losses,
    masks,
    optimization,
    regions,
    run,
    train,
    transformer,
)
from .base import Options
from .registry import EXPLAINED

# In the order in which a reader meets them.
TOPICS = (
    run,
    train,
    data,
    augmentation,
    evaluation,
    optimization,
    detectors,
    backbones,
    transformer,
    regions,
    diffusion,
    criterion,
    losses,
    masks,
)
_OURS = ("datasets_utils", "layers_diffu_detr", "projects")


def name_of(target: Any) -> str:
    """The dotted name of a LazyCall's target, which may be a name already, also one that packages shorten.

    Raises:
        ValueError: there is no such function or class.
    """
    if isinstance(target, str):
        if target in EXPLAINED:
            return target
        target = _located(target)
    return f"{target.__module__}.{target.__qualname__}"


def options_of(target: Any) -> type[Options] | None:
    """The options that explain the arguments of `target`; None where nothing does. See `name_of` for the error."""
    return EXPLAINED.get(name_of(target))


def takes(target: Any, argument: str) -> bool:
    """Whether `target`, which options explain, also takes an `argument` that is none of them."""
    name = name_of(target)
    if EXPLAINED[name].model_config.get("extra") == "allow":
        return True
    if name.startswith(_OURS):
        return False
    parameters = inspect.signature(_located(name)).parameters.values()
    return any(each.name == argument or each.kind is each.VAR_KEYWORD for each in parameters)


def _located(name: str) -> Any:
    try:
        return locate(name)
    except Exception as error:  # whatever the import of a module raises
        raise ValueError(f"there is no {name}: {error}") from error
