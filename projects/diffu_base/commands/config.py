"""Lists the configs, and shows what one of them sets."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from projects.diffu_base.config.files import config_names, find_config, get_config


def list_configs() -> None:
    """Print the name of every config and what its file says it is, a line each."""
    names = config_names()
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:{width}}  {_first_sentence(name)}".rstrip())


def show_config(name: str, overrides: Sequence[str] = ()) -> None:
    """Print every key of a config with its value.

    Raises:
        ValueError: there is no such config, or an override does not fit it.
    """
    for key, value in _leaves(OmegaConf.to_container(get_config(name, *overrides), resolve=False), ""):
        print(f"{key} = {value}")


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Every key below `node` as an override names it, with its value."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif callable(node):
        yield prefix, f"{node.__module__}.{node.__qualname__}"
    else:
        yield prefix, repr(node)


def _first_sentence(name: str) -> str:
    """The first line of the docstring of a config's file."""
    docstring = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
