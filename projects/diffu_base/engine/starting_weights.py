"""The weights that a new training starts from, also where the checkpoint has other classes than the data."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from layers_diffu_detr.checkpoint import LoadReport, has_averages, load_weights
from layers_diffu_detr.checkpoint_file import read_checkpoint
from layers_diffu_detr.class_rows import ClassRows
from projects.diffu_base.api.model_folder import INFO_FILE

from .weight_files import local_path

CLASS_NAMES = "class_names"  # the key in checkpoints

logger = logging.getLogger(__name__)


def class_names_of(checkpoint: str) -> list[str] | None:
    """The names of a checkpoint's classes, in the order of their rows; None if it does not say them.

    Args:
        checkpoint: a file. Beside the weights of a model folder, `model.json` says the names.

    Raises:
        ValueError, FileNotFoundError: see `read_checkpoint`.
    """
    info = Path(checkpoint).with_name(INFO_FILE)
    if checkpoint.endswith(".safetensors"):
        names = json.loads(info.read_text(encoding="utf-8")).get("classes") if info.is_file() else None
    else:
        names = read_checkpoint(checkpoint).get(CLASS_NAMES)
    numbered = names is not None and list(names) == [f"class {number}" for number in range(len(names))]
    return None if names is None or numbered else [str(name) for name in names]


def load_starting_weights(
    model: nn.Module, path: str, *, class_names: Sequence[str] | None, new_classes: bool
) -> LoadReport:
    """Load the weights of `train.init_checkpoint` into a new model; of a checkpoint with averages, the averages.

    If the class names of both sides are known, rows of class heads belong to the class of their name, and rows of
    other classes start anew. All other weights load strictly.

    Args:
        path: as `local_path` takes it.
        class_names: the model's classes; None if they are not known.
        new_classes: let all class rows start anew if the names of either side are not known. If False, the rows are
            loaded as they are, and their number must be the same.

    Raises:
        ValueError: see `local_path` and `load_weights`.
    """
    file = local_path(path)
    given = class_names_of(file)
    rows = None
    if class_names is not None and given is not None:
        rows = ClassRows.by_name(class_names, given)
    elif new_classes:
        numbers = range(getattr(model, "num_classes", 0))
        rows = ClassRows.anew(class_names or [f"class {number}" for number in numbers])
    select: Literal["model", "ema"] = "ema" if has_averages(file) else "model"
    try:
        return load_weights(model, file, select=select, class_rows=rows, classless_heads=classless_heads(model))
    except ValueError as error:
        if rows is None and "other shape" in str(error):
            hint = "If it has other classes than the data: train.new_classes=True lets all class rows start anew."
            raise ValueError(f"{error}\n{hint}") from error
        raise


def classless_heads(model: nn.Module) -> tuple[str, ...]:
    """The class head of the encoder's proposals, if the criterion gives all of their targets the label 0."""
    targets = getattr(getattr(model, "criterion", None), "encoder_targets", None)
    heads = getattr(model, "class_embed", None)
    if heads is None or getattr(targets, "num_classes", None) is None:
        return ()
    return (f"class_embed.{len(heads) - 1}",)
