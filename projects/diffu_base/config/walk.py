"""Functions that go through a config: plain values, LazyCalls, interpolations."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException

from .options.base import is_call, join_key


def plain_values(cfg: DictConfig) -> dict[str, Any]:
    """The config as dicts and lists with its interpolations resolved. Other objects stay as they are.

    Raises:
        ValueError: an interpolation leads nowhere.
    """
    try:
        values: Any = OmegaConf.to_container(cfg, resolve=True, structured_config_mode=SCMode.INSTANTIATE)
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key or 'the config'}: {error.msg}") from error
    return values


def find_calls(values: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every LazyCall in plain `values`, outer ones first, with its key."""
    if is_call(values):
        yield key, values
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from find_calls(value, join_key(key, name))
    elif isinstance(values, list):
        for position, value in enumerate(values):
            yield from find_calls(value, join_key(key, position))


def interpolation_at(cfg: DictConfig, key: str) -> tuple[str, str] | None:
    """The interpolation that sets `key` or a part of the config that contains `key`: its own key and its text."""
    node: Any = cfg
    path: list[str | int] = []
    for name in key.split("."):
        step = int(name) if OmegaConf.is_list(node) else name
        if not OmegaConf.is_config(node) or OmegaConf.is_missing(node, step):
            return None
        path.append(step)
        if OmegaConf.is_interpolation(node, step):
            raw: Any = OmegaConf.to_container(node, resolve=False)
            return join_key("", *path), raw[step]
        node = node[step] if OmegaConf.is_list(node) or step in node else None
    return None
