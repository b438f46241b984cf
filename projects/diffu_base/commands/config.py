"""Lists the configs, and shows what one of them sets."""

import ast
import tempfile
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import LazyConfig
from omegaconf import DictConfig

from projects.diffu_base.config.checks import PARTS, check_config
from projects.diffu_base.config.files import config_names, find_config, get_config
from projects.diffu_base.config.reference import describe


def list_configs() -> None:
    """Print one line per config: its name and the first sentence of its file."""
    names = config_names()
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:{width}}  {_first_sentence(name)}".rstrip())


def show_config(name: str, overrides: Sequence[str] = (), *, explain: bool = False) -> None:
    """Print a config as YAML, which `get_config` reads.

    Args:
        name, overrides: as `get_config` takes them.
        explain: print instead every key with its value, its type, its default and what it does, a line each.

    Raises:
        ValueError: there is no such config, an override does not fit it, or the config of a run has a wrong value.
    """
    cfg = get_config(name, *overrides)
    if all(part in cfg for part in PARTS):
        check_config(cfg)
    print(describe(cfg) if explain else _as_yaml(cfg))


def _as_yaml(cfg: DictConfig) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        LazyConfig.save(cfg, str(file))
        return file.read_text().rstrip("\n")


def _first_sentence(name: str) -> str:
    """The first line of the docstring of a config's file."""
    docstring = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
