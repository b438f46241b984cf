"""All options, by topic and by the name of the function or class that they explain."""

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
    sampling,
    train,
    transformer,
)
from .base import Options
from .registry import EXPLAINED

# The reference has the topics in this order.
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
    sampling,
    criterion,
    losses,
    masks,
)
_OURS = ("datasets_utils", "layers_diffu_detr", "projects")


def name_of(target: Any) -> str:
    """The full dotted name of a LazyCall's target: a function, a class, or a name that may be shortened.

    Raises:
        ValueError: there is no such function or class.
    """
    if isinstance(target, str):
        if target in EXPLAINED:
            return target
        target = _located(target)
    return f"{target.__module__}.{target.__qualname__}"


def options_of(target: Any) -> type[Options] | None:
    """The options that explain the arguments of `target`, or None if there are none. Raises as `name_of` does."""
    return EXPLAINED.get(name_of(target))


def takes(target: Any, argument: str) -> bool:
    """Whether `target` also takes an `argument` that its options do not list."""
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
    except Exception as error:  # importing a module may raise anything
        raise ValueError(f"there is no {name}: {error}") from error
