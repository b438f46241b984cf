"""Checks that a model has as many classes as its data."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from detectron2.data import MetadataCatalog

import datasets_utils  # noqa: F401  (registers the data sets)
from datasets_utils.coco_format import count_classes

from .options.base import is_call
from .options.catalog import options_of
from .options.data import DatasetDictsOptions, RegisterOptions

# Takes what a config gives as a data set's name; returns the number of classes, or None if it is unknown.
CountClasses = Callable[[Any], int | None]


def registered_classes(name: Any) -> int | None:
    """The number of classes of a registered data set, if they are known before its annotations are read."""
    if not isinstance(name, str) or name not in MetadataCatalog.list():
        return None
    classes = MetadataCatalog.get(name).get("thing_classes")
    return None if classes is None else len(classes)


def classes_of_own_data(name: Any) -> int | None:
    """Read the class file of a user's own data and return its number of categories."""
    if not is_call(name) or options_of(name["_target_"]) is not RegisterOptions:
        return None
    class_file = name.get("files", {}).get("class_file")
    return count_classes(class_file) if class_file else None


def classes_of_annotations(name: Any) -> int | None:
    """Read the annotation file of a registered data set that names no classes, and count its categories.

    None if the data set is not in COCO's or LVIS's format, or its file does not exist: loading it says what is missing.
    """
    if not isinstance(name, str) or name not in MetadataCatalog.list() or registered_classes(name) is not None:
        return None
    metadata = MetadataCatalog.get(name)
    json_file = metadata.get("json_file")
    if metadata.get("evaluator_type") not in ("coco", "lvis") or not json_file or not os.path.isfile(json_file):
        return None
    return count_classes(json_file)


def check_class_count(model: Any, dataloader: Mapping[str, Any], count: CountClasses) -> None:
    """Check that the model has as many classes as each of its data sets.

    Args:
        model, dataloader: plain parts of a config.
        count: `registered_classes`, `classes_of_own_data` or `classes_of_annotations`.

    Raises:
        ValueError: naming both numbers and the data set.
    """
    num_classes = model.get("num_classes") if is_call(model) else None
    if not isinstance(num_classes, int):
        return  # a model without classes, or one whose classes are counted when it is built
    for key, name in _dataset_names(dataloader):
        wanted = count(name)
        if wanted is not None and wanted != num_classes:
            shown = name if isinstance(name, str) else name.get("name")
            raise ValueError(f"model.num_classes is {num_classes}; {shown}, which {key} loads, has {wanted} classes")


def _dataset_names(dataloader: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every data set that a loader of detectron2's dataset dicts reads, with the loader's key."""
    for key in ("train", "test"):
        loader = dataloader.get(key)
        dataset = loader.get("dataset") if is_call(loader) else None
        if is_call(dataset) and options_of(dataset["_target_"]) is DatasetDictsOptions:
            names = dataset.get("names")
            for name in names if isinstance(names, list) else [names]:
                yield f"dataloader.{key}", name
