"""Makes a model folder of a config and a checkpoint."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.diffu_base.config.files import get_config
from projects.diffu_base.engine.ema import named_weights

from .class_names import classes_of_file
from .model_folder import ModelInfo, write_model_folder
from .pretrained import load_checkpoint


def pack(
    config: str,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    *,
    overrides: Sequence[str] = (),
    class_file: str | os.PathLike | None = None,
) -> ModelInfo:
    """Write a model folder with the weights of a checkpoint that evaluation takes: averages, where there are any.

    Args:
        config: a config's name or file, see `get_config`.
        checkpoint: of this project, of the authors or of detrex, see `layers_diffu_detr.checkpoint.load_weights`.
        output: the model folder; one that is there is replaced.
        overrides: `key=value` settings of the config.
        class_file: names the classes, see `classes_of_file`; None takes those of the config's data. If they are not
            known, the classes are numbered.

    Returns:
        What the folder says of the model.

    Raises:
        ValueError: the config or the checkpoint is wrong, they do not fit together, or the number of names differs from
            the model's number of classes.
    """
    checkpoint = Path(checkpoint).expanduser()
    if not checkpoint.is_file():
        raise ValueError(f"checkpoint {str(checkpoint)!r}: no such file")
    cfg = get_config(config, *overrides)
    if "model" not in cfg:
        raise ValueError(f"config {config!r} has no model; it has {', '.join(map(str, cfg))}")
    classes = None if class_file is None else classes_of_file(class_file)
    model, info = load_checkpoint(cfg, checkpoint, "cpu", classes=classes)
    info = info.model_copy(update={"results": results_beside(checkpoint)})
    write_model_folder(output, cfg, named_weights(model), info)
    return info


def results_beside(checkpoint: Path) -> dict[str, Any]:
    """The results of `results.json` beside a checkpoint, if they are those of its weights; else none.

    A training writes the file for its last weights, `model_final.pth`; an evaluation names the weights in it.
    """
    path = checkpoint.with_name("results.json")
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    evaluated = content.get("checkpoint")
    if evaluated is None:
        is_its_own = checkpoint.name == "model_final.pth"
    else:
        is_its_own = Path(evaluated).resolve() == checkpoint.resolve()
    return content.get("results", {}) if is_its_own else {}
