"""Registers data sets in detectron2's catalogs. A data set's files are read when the data set is asked for, not before.

This project replaces only what it registered itself. A data set that a user registered stays, whatever its name is.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import builtin

from .coco_file import load_coco_format

ROOT_VARIABLE = "DETECTRON2_DATASETS"
# Annotation file and image folder of some data sets that detectron2 registers itself, relative to its `builtin._root`.
OF_DETECTRON2 = {
    "coco_2017_train": ("coco/annotations/instances_train2017.json", "coco/train2017"),
    "coco_2017_val": ("coco/annotations/instances_val2017.json", "coco/val2017"),
    "lvis_v1_train": ("lvis/lvis_v1_train.json", "coco/"),
    "lvis_v1_val": ("lvis/lvis_v1_val.json", "coco/"),
}
HOW_TO_FREE = "DatasetCatalog.remove(name) and MetadataCatalog.remove(name)"

Loader = Callable[[], list[dict[str, Any]]]
StrPath = str | os.PathLike[str]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedLoader:
    """Loads a data set, or raises an error that says which of its files is missing and how to get it.

    Attributes:
        load: returns detectron2 dataset dicts.
        name: the data set's name.
        paths: the annotation file and the folder of images, which must exist.
        source: how to get the data, as an instruction such as "download ...".
    """

    load: Loader
    name: str
    paths: tuple[StrPath, ...]
    source: str

    def __call__(self) -> list[dict[str, Any]]:
        self.require_files()
        return self.load()

    def require_files(self) -> None:
        """Raises FileNotFoundError if a path does not exist; see `require_data`."""
        require_data(self.name, *self.paths, source=self.source)


@dataclass(frozen=True)
class DataSet:
    """A data set, as it is registered in detectron2's catalogs.

    Attributes:
        name: the name in both catalogs, the DatasetCatalog and the MetadataCatalog.
        load: returns detectron2 dataset dicts. The DatasetCatalog calls it whenever the data set is asked for.
        metadata: the entries of the MetadataCatalog.
    """

    name: str
    load: Loader
    metadata: dict[str, Any]

    @classmethod
    def of_coco_format(
        cls,
        name: str,
        json_file: StrPath,
        image_root: StrPath,
        *,
        source: str,
        image_folder: StrPath | None = None,
        **metadata: Any,
    ) -> Self:
        """Describes a data set in COCO's format. Its files need not exist until it is loaded.

        Args:
            name: the data set's name.
            json_file: the annotation file.
            image_root: the folder that the file names in `json_file` are relative to.
            source: how to get the data, as an instruction such as "download ...".
            image_folder: the folder that must exist for the data set to be loaded. None is `image_root`.
            metadata: entries of the MetadataCatalog beside `json_file` and `image_root`.
        """
        paths = (json_file, image_root if image_folder is None else image_folder)
        load = CheckedLoader(partial(load_coco_format, json_file, image_root, name), name, paths, source)
        return cls(name, load, {"json_file": str(json_file), "image_root": str(image_root), **metadata})


class _Entry(NamedTuple):
    """What this project put into the catalogs: a data set, and the catalog's own object for its metadata."""

    data_set: DataSet
    metadata: Any


_registered: dict[str, _Entry] = {}


def datasets_root() -> Path:
    """Returns the folder that holds the data sets: `$DETECTRON2_DATASETS`, or `./datasets` if that is not set."""
    return Path(os.environ.get(ROOT_VARIABLE, "datasets")).expanduser()


def register(*data_sets: DataSet) -> None:
    """Registers data sets, in place of those that this project registered under their names before.

    Raises:
        ValueError: see `require_free`. Then none of the data sets is registered.
    """
    require_free(*(data_set.name for data_set in data_sets))
    for data_set in data_sets:
        _register(data_set)


def require_free(*names: str) -> None:
    """Makes sure that this project may register data sets under some names.

    Raises:
        ValueError: the catalogs have something under one of the names that this project did not register.
    """
    if taken := [name for name in names if not _is_free(name)]:
        raise ValueError(
            f"{_quoted(taken)}: a data set of this name is registered already, and not by this project, so it is not "
            f"replaced. Use another name, or remove that data set: {HOW_TO_FREE}"
        )


def register_on_import(*data_sets: DataSet, call: str) -> None:
    """Registers data sets in place of detectron2's own, but keeps a user's data set and logs a warning about it.

    Args:
        data_sets: what to register.
        call: the call with which users register these data sets, such as "register_lvis()", for the warning.
    """
    kept = []
    for data_set in data_sets:
        if _is_free(data_set.name) or is_of_detectron2(data_set.name):
            _register(data_set)
        else:
            kept.append(data_set.name)
    if kept:
        logger.warning(
            f"{_quoted(kept)}: a data set of this name was registered before datasets_utils was imported; it stays. To "
            f"have this project's instead, remove that data set, {HOW_TO_FREE}, and call datasets_utils.{call}"
        )


def _register(data_set: DataSet) -> None:
    name = data_set.name
    if name in DatasetCatalog and name in _registered and _registered[name].data_set.metadata == data_set.metadata:
        return  # Nothing is new. The metadata stay, as loading may have added to them.
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)
    DatasetCatalog.register(name, data_set.load)
    _registered[name] = _Entry(data_set, MetadataCatalog.get(name).set(**data_set.metadata))


def _is_free(name: str) -> bool:
    """Returns whether the catalogs have nothing under a name but what this project put there."""
    ours = _registered.get(name)
    if name in DatasetCatalog and (ours is None or DatasetCatalog[name] is not ours.data_set.load):
        return False
    if name in MetadataCatalog and (ours is None or MetadataCatalog[name] is not ours.metadata):
        return vars(MetadataCatalog[name]).keys() <= {"name"}  # Looking up metadata creates an empty entry.
    return True


def is_of_detectron2(name: str) -> bool:
    """Returns whether the data set of a name is the one that detectron2 registers itself.

    A user may have registered another data set of the name with the same function of detectron2, but with other files.
    """
    if name not in OF_DETECTRON2 or name not in DatasetCatalog or name not in MetadataCatalog:
        return False
    metadata = MetadataCatalog[name]
    files = tuple(os.path.join(builtin._root, path) for path in OF_DETECTRON2[name])
    module = getattr(DatasetCatalog[name], "__module__", None) or ""
    return module.startswith("detectron2.") and (metadata.get("json_file"), metadata.get("image_root")) == files


def require_data(name: str, *paths: StrPath, source: str) -> None:
    """Makes sure that a data set's files exist.

    Args:
        name: the data set's name.
        paths: the annotation file and the folder of images.
        source: how to get the data, as an instruction such as "download ...".

    Raises:
        FileNotFoundError: a path does not exist. The error names it, `$DETECTRON2_DATASETS` with its value, and
            `source`.
    """
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"{name}: {path} does not exist. Data sets are looked for under ${ROOT_VARIABLE} "
                f"(now {os.environ.get(ROOT_VARIABLE, 'unset, so ./datasets')!r}); to get this one: {source}"
            )


def require_registered(name: str) -> None:
    """Makes sure that a data set's files exist, if it is COCO 2017 or a data set of this project. It reads no file.

    Raises:
        FileNotFoundError: see `require_data`.
    """
    load = DatasetCatalog[name] if name in DatasetCatalog else None
    if isinstance(load, CheckedLoader):
        load.require_files()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
