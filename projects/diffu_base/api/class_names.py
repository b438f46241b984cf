"""The names of a model's classes: those of the data that a config names, or of a file."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import MetadataCatalog
from omegaconf import DictConfig

import datasets_utils  # noqa: F401  (registers the data sets)
from datasets_utils.check import sound_categories


class Classes(NamedTuple):
    """The classes of a data set, in the order of the model's outputs.

    Attributes:
        names: their names.
        ids: the data set's category ids, which result files in COCO's format carry.
    """

    names: list[str]
    ids: list[int]


def classes_of_config(cfg: DictConfig) -> Classes | None:
    """The classes of the first data set of `cfg` whose classes are known; None if there is none.

    Names that detectron2's catalog has are taken from there, others from an annotation file, if it exists.
    """
    for part in ("train", "test"):
        names = (cfg.get("dataloader") or {}).get(part, {}).get("dataset", {}).get("names")
        for name in [names] if isinstance(names, str | DictConfig) else names or ():
            classes = _of_call(name) if isinstance(name, DictConfig) else _of_registered(name)
            if classes is not None:
                return classes
    return None


def classes_of_file(path: str | os.PathLike) -> Classes:
    """The classes that a file names: the categories of an annotation file (.json), or one name in each line of a text.

    Raises:
        ValueError: the file names no class, or a name twice.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if path.suffix == ".json":
        return _of_annotations(path)
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path} names {len(set(names))} classes in {len(names)} lines; each line names another class")
    return Classes(names, list(range(1, len(names) + 1)))


def numbered_classes(count: int) -> Classes:
    """`count` classes without names: "class 0", "class 1", ..."""
    return Classes([f"class {label}" for label in range(count)], list(range(1, count + 1)))


def _of_call(call: DictConfig) -> Classes | None:
    """The classes of a data set that `register_coco_format` would register."""
    class_file = call.get("files", {}).get("class_file")
    return _of_annotations(class_file) if class_file and os.path.isfile(class_file) else None


def _of_registered(name: str) -> Classes | None:
    if name not in MetadataCatalog.list():
        return None
    metadata = MetadataCatalog.get(name)
    names, ids = metadata.get("thing_classes"), metadata.get("thing_dataset_id_to_contiguous_id")
    if names is not None:
        by_label = {label: id_ for id_, label in (ids or {}).items()}
        return Classes(list(names), [by_label.get(label, label + 1) for label in range(len(names))])
    json_file = metadata.get("json_file")
    return _of_annotations(json_file) if json_file and os.path.isfile(json_file) else None


def _of_annotations(json_file: Any) -> Classes:
    categories = dict(sorted(sound_categories(json_file).items()))
    return Classes(list(categories.values()), list(categories))
