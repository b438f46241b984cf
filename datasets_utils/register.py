"""Puts data sets into detectron2's catalogs, where their files are read only when asked for."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from .coco_file import load_coco_format

ROOT_VARIABLE = "DETECTRON2_DATASETS"
BUILD_COMMAND = "python tools/build_digit_scenes.py"
CLASS_NAMES = tuple(str(digit) for digit in range(10))
COCO_SOURCE = (
    "download train2017.zip, val2017.zip and annotations_trainval2017.zip from https://cocodataset.org/#download and "
    "unpack them into the folder coco"
)

Loader = Callable[[], list[dict[str, Any]]]
_registered: dict[str, dict[str, Any]] = {}


def datasets_root() -> Path:
    """Returns the folder that holds the data sets: `$DETECTRON2_DATASETS`, by default `./datasets`."""
    return Path(os.environ.get(ROOT_VARIABLE, "datasets")).expanduser()


def register(
    name: str, load: Loader, *, json_file: str | os.PathLike, image_root: str | os.PathLike, **metadata: Any
) -> None:
    """Registers a data set in detectron2's catalogs, in place of an earlier one of that name.

    Args:
        name: in both catalogs.
        load: returns detectron2 dataset dicts.
        json_file, image_root: the annotation file and what its file names are relative to; need not exist yet.
        metadata: what else the MetadataCatalog is to say. Told the same again, the catalogs stay as they are.
    """
    metadata = {"json_file": str(json_file), "image_root": str(image_root), **metadata}
    if _registered.get(name) == metadata and name in DatasetCatalog.list():
        return
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)
    _registered[name] = metadata


def require_data(name: str, *paths: str | os.PathLike, source: str) -> None:
    """Refuses to go on without the data set's files.

    Args:
        name: of the data set.
        paths: the annotation file and the folder of images.
        source: how to get the data, in the imperative.

    Raises:
        FileNotFoundError: naming the path that is missing, the variable that leads there with its value, and `source`.
    """
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"{name}: {path} does not exist. Data sets are looked for under ${ROOT_VARIABLE} "
                f"(now {os.environ.get(ROOT_VARIABLE, 'unset, so ./datasets')!r}); to get this one: {source}"
            )


def require_registered(name: str) -> None:
    """Refuses to go on where a data set of this project, or COCO 2017, is registered but not there; reads nothing.

    Raises:
        FileNotFoundError: see `require_data`.
    """
    load = DatasetCatalog[name] if name in DatasetCatalog.list() else None
    if getattr(load, "func", None) is load_existing:
        require_data(*load.args[1:], **load.keywords)


def digit_scenes_root(*, lvis: bool = False) -> Path:
    """Returns where the digit scenes belong: `$DETECTRON2_DATASETS/digit_scenes`, or `digit_scenes_lvis`."""
    return datasets_root() / ("digit_scenes_lvis" if lvis else "digit_scenes")


def register_digit_scenes(root: str | os.PathLike | None = None, *, lvis: bool = False) -> None:
    """Registers `digit_scenes_train` and `digit_scenes_val`; called again, the last root counts.

    Args:
        root: folder of the COCO tree, `digit_scenes_root(lvis=lvis)` if None. It need not exist yet.
        lvis: the long-tailed scenes in LVIS's format instead, `digit_scenes_lvis_train` and `digit_scenes_lvis_val`.
    """
    root = Path(root) if root is not None else digit_scenes_root(lvis=lvis)
    for split in ("train", "val"):
        name = f"digit_scenes_{'lvis_' if lvis else ''}{split}"
        json_file, image_root = root / "annotations" / f"instances_{split}.json", root / split
        load = partial(load_coco_format, json_file, image_root, name)
        source = f"build it with `{BUILD_COMMAND}{' --format lvis' if lvis else ''}`"
        register(
            name,
            partial(load_existing, load, name, json_file, image_root, source=source),
            json_file=json_file,
            image_root=image_root,
            evaluator_type="lvis" if lvis else "coco",
            thing_classes=list(CLASS_NAMES),
            # Stated here as well as found in the file, so that an evaluator that never loaded the data maps ids back.
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASS_NAMES))},
        )


def explain_missing_coco() -> None:
    """Lets detectron2's COCO 2017 say what is missing, where, and how to get it, instead of a bare file name."""
    for name in ("coco_2017_train", "coco_2017_val"):
        load = DatasetCatalog[name]
        if getattr(load, "func", None) is not load_existing:
            metadata = MetadataCatalog.get(name)
            files = (metadata.json_file, metadata.image_root)
            DatasetCatalog[name] = partial(load_existing, load, name, *files, source=COCO_SOURCE)


def load_existing(load: Loader, name: str, *paths: str | os.PathLike, source: str) -> list[dict[str, Any]]:
    """Returns `load()`; raises as `require_data` does when one of `paths` is missing."""
    require_data(name, *paths, source=source)
    return load()
