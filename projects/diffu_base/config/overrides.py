"""Overrides `key=value` of a config, which must fit it."""

import difflib
from collections.abc import Sequence
from typing import Any

from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Set every `key=value` of `overrides` in `cfg`, in place, and return `cfg`.

    ``+key=value`` adds a key. Arguments of a LazyCall can always be added: a wrong one fails when it is called.

    Raises:
        ValueError: an override is not of this form, or its key does not exist, which would change nothing; the message
            names the keys that come close.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals:
            raise ValueError(f"override {override!r} is not of the form key=value")
        if not key.startswith("+"):
            _check_key(cfg, key)
    return LazyConfig.apply_overrides(cfg, list(overrides))


def _check_key(cfg: DictConfig, key: str) -> None:
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, ListConfig) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        if isinstance(node, DictConfig):
            if part in node.keys():
                node = node[part]
                continue
            if "_target_" in node.keys():
                return
        known = [str(name) for name in node.keys()] if isinstance(node, DictConfig) else []
        close = difflib.get_close_matches(part, known, n=3) or known
        prefix = ".".join(parts[:depth])
        raise ValueError(
            f"override {key!r}: there is no {part!r} in {prefix or 'the config'}; "
            f"there is {', '.join(close) or 'nothing to set'} (+{key}=... adds a key)"
        )
