"""Runs that differ from another run in a few settings."""

import os
from typing import Any

from detectron2.config import LazyConfig


def base_run(config_file: str, base: str) -> tuple[Any, ...]:
    """What the run `base` is made of: dataloader, lr_multiplier, model, optimizer, train.

    Python's import knows no file names with hyphens.

    Args:
        config_file: the file that differs, `__file__`.
        base: the other config, relative to it.
    """
    path = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(config_file)), base))
    return LazyConfig.load(path, ("dataloader", "lr_multiplier", "model", "optimizer", "train"))
