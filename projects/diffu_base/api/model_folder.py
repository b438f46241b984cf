"""A model folder: a trained model with all that is needed to use it, without the data that it was trained on.

It holds `config.yaml`, the run's config; `model.safetensors`, the weights that evaluation uses; and `model.json`, what
is known of the model, see `ModelInfo`.
"""

import copy
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from detectron2 import __version__ as detectron2_version
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors.torch import save_file
from torch import Tensor

from projects.diffu_base.config.walk import find_calls, plain_values
from projects.diffu_base.engine.results import plain_results
from projects.diffu_base.version import __version__

from .class_names import Classes, classes_of_config, numbered_classes

logger = logging.getLogger(__name__)

CONFIG_FILE, WEIGHTS_FILE, INFO_FILE = "config.yaml", "model.safetensors", "model.json"
FILES = (CONFIG_FILE, WEIGHTS_FILE, INFO_FILE)


def versions() -> dict[str, str]:
    """The versions of what a model was made with."""
    return {
        "diffu-detr": __version__,
        "torch": torch.__version__,
        "detectron2": detectron2_version,
        "python": platform.python_version(),
    }


class ModelInfo(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(extra="ignore")  # a later version may know more

    format: Literal[1] = 1
    classes: list[str] = Field(description="The names of the classes, in the order of the model's outputs.")
    category_ids: list[int] = Field(description="The ids of the classes in result files in COCO's format.")
    thresholds: list[float] | None = Field(
        None, description="The score from which a detection of each class counts; null: not known."
    )
    input_format: Literal["RGB", "BGR"] = Field(description="The order of an image's channels.")
    short_edge: int | None = Field(
        None, description="Images are resized until their shorter side has so many pixels; null: they are not resized."
    )
    max_size: int | None = Field(None, description="The longer side gets no longer than this; null: there is no limit.")
    weights: Literal["averaged", "plain"] = Field(description="Whether the weights are the run's averages.")
    iterations: int | None = Field(None, description="After how many iterations of the run the weights were taken.")
    results: dict[str, Any] = Field(default_factory=dict, description="The last evaluation: task -> metric -> value.")
    versions: dict[str, str] = Field(default_factory=dict, description="What the folder was written with.")

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        for name in ("category_ids", "thresholds"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.classes):
                raise ValueError(f"{name} has {len(values)} entries; there are {len(self.classes)} classes")
        return self

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Self:
        """Read the `model.json` of a model folder.

        Raises:
            ValueError: the folder is no model folder, or the file is damaged.
        """
        path = require_model_folder(folder) / INFO_FILE
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path} is damaged: {where or 'the file'}: {first['msg']}") from error

    def write(self, folder: str | os.PathLike) -> None:
        """Write `model.json` into a folder: after evaluation with new thresholds, for example."""
        path = Path(folder) / INFO_FILE
        part = path.with_name(f"{INFO_FILE}.{os.getpid()}.part")
        part.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)


def is_model_folder(folder: str | os.PathLike) -> bool:
    """Whether all files of a model folder are in `folder`."""
    return all((Path(folder) / name).is_file() for name in FILES)


def require_model_folder(folder: str | os.PathLike) -> Path:
    """`folder` as a path.

    Raises:
        ValueError: it is no model folder; the message names what is missing.
    """
    missing = [name for name in FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is no model folder: it has no {', '.join(missing)}; `diffudetr pack` makes one")
    return Path(folder)


def info_of(
    cfg: DictConfig,
    *,
    num_classes: int,
    averaged: bool,
    classes: Classes | None = None,
    iterations: int | None = None,
    results: Mapping[str, Any] | None = None,
) -> ModelInfo:
    """What is known of the model of a config.

    Args:
        num_classes: K.
        averaged: whether the weights are the run's averages.
        classes: the classes; None takes those of the config's data, or numbers where their names are not known.
        iterations, results: see `ModelInfo`.

    Raises:
        ValueError: `classes` are not K classes.
    """
    if classes is None:
        classes = classes_of_config(cfg)
        if classes is None or len(classes.names) != num_classes:
            logger.warning(f"the names of the {num_classes} classes are not known; they are numbered")
            classes = numbered_classes(num_classes)
    if len(classes.names) != num_classes:
        raise ValueError(f"there are {len(classes.names)} names of classes; the model has {num_classes} classes")
    short_edge, max_size = test_size(cfg)
    return ModelInfo(
        classes=classes.names,
        category_ids=classes.ids,
        input_format=OmegaConf.select(cfg, "model.input_format", default="RGB"),
        short_edge=short_edge,
        max_size=max_size,
        weights="averaged" if averaged else "plain",
        iterations=iterations,
        results=plain_results(results or {}),
        versions=versions(),
    )


def test_size(cfg: DictConfig) -> tuple[int | None, int | None]:
    """The shorter and the longest side of images that the config evaluates on; None for what it leaves as it is."""
    for each in OmegaConf.select(cfg, "dataloader.test.mapper.augmentation", default=None) or ():
        if "short_edge_length" in each:
            lengths = each.short_edge_length
            short_edge = lengths if isinstance(lengths, int) else max(lengths)
            return short_edge, each.get("max_size")
    return None, None


def write_model_folder(
    folder: str | os.PathLike, cfg: DictConfig, weights: Mapping[str, Tensor], info: ModelInfo
) -> None:
    """Write a model folder. One that is there already is replaced when the new one is complete.

    Args:
        cfg: the config; the folder's copy needs no training data to be built, see `without_data`.
        weights: name -> tensor, each tensor once; see `projects.diffu_base.engine.ema.named_weights`.

    Raises:
        ValueError: `folder` exists and is something else than a model folder.
    """
    folder = Path(folder)
    if folder.exists() and not (is_model_folder(folder) or (folder.is_dir() and not any(folder.iterdir()))):
        raise ValueError(f"{folder} exists and is no model folder, so it is not replaced; name another folder")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        LazyConfig.save(without_data(cfg, num_classes=len(info.classes)), str(part / CONFIG_FILE))
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in weights.items()}, part / WEIGHTS_FILE)
        os.chmod(part / WEIGHTS_FILE, 0o644)  # safetensors lets nobody but the owner read the file
        info.write(part)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def without_data(cfg: DictConfig, *, num_classes: int) -> DictConfig:
    """A copy of `cfg` whose model can be built without the training data and without downloads.

    The classes of one's own data are counted in the annotation file, and timm can fetch pre-trained weights: in the
    copy, `model.num_classes` is a number, and no backbone is pre-trained.
    """
    own = copy.deepcopy(cfg)
    if "num_classes" in own.model:
        own.model.num_classes = num_classes
    for key, call in find_calls(plain_values(own)["model"]):
        if call.get("pretrained") is True:
            OmegaConf.update(own.model, f"{key}.pretrained", False)
    return own
