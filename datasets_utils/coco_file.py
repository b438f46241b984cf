"""Reads annotation files in COCO's format, which LVIS, V3Det and the exports of labelling tools share."""

import json
import os
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode
from pycocotools import mask as mask_utils

LISTS = ("images", "annotations", "categories")
# LVIS lists in each image entry the categories that the image surely lacks, and those of which it may have more objects
# than are annotated.
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


def read_coco_file(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the content of an annotation file.

    Raises:
        ValueError: the file does not exist, is not JSON, or lacks one of the lists images, annotations, categories.
    """
    if not os.path.isfile(path):
        raise ValueError(f"annotation file {str(path)!r}: no such file")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:
        raise ValueError(f"annotation file {str(path)!r} is not JSON: {error}") from error
    for name in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(
                f"annotation file {str(path)!r} has no list {name!r}; COCO's format has {', '.join(LISTS)}"
            )
    return content


def image_name(image: dict[str, Any]) -> str:
    """Returns an image entry's file name: its `file_name`, or the end of the `coco_url` that LVIS has instead."""
    # http://images.cocodataset.org/train2017/000000155379.jpg -> train2017/000000155379.jpg
    return image["file_name"] if "file_name" in image else "/".join(image["coco_url"].split("/")[-2:])


def class_metadata(categories: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns detectron2's metadata of the classes. The classes are the categories, in the order of their ids."""
    in_order = sorted(categories, key=lambda category: category["id"])
    return {
        "thing_classes": [category["name"] for category in in_order],
        "thing_dataset_id_to_contiguous_id": {category["id"]: label for label, category in enumerate(in_order)},
    }


def load_coco_format(json_file: str | os.PathLike, image_root: str | os.PathLike, name: str) -> list[dict[str, Any]]:
    """Returns detectron2 dataset dicts, ordered by image id. It does not read the image files.

    Args:
        json_file: an annotation file without faults. `datasets_utils.check` finds faults.
        image_root: the folder that the file names in `json_file` are relative to.
        name: the data set's name in the MetadataCatalog. If the metadata do not map category ids to classes yet, they
            get the map and the class names from the file, with the classes in the order of the category ids.

    Raises:
        ValueError: an annotation names an image that is not listed or a category that is no class, or see
            `read_coco_file`.
    """
    content = read_coco_file(json_file)
    metadata = MetadataCatalog.get(name)
    if metadata.get("thing_dataset_id_to_contiguous_id") is None:
        metadata.set(**class_metadata(content["categories"]))
    classes = metadata.thing_dataset_id_to_contiguous_id
    records = {}
    for image in sorted(content["images"], key=lambda entry: entry["id"]):
        record = {"file_name": os.path.join(image_root, image_name(image)), "image_id": image["id"], "annotations": []}
        kept = {key: image[key] for key in ("height", "width", *FEDERATED) if key in image}
        records[image["id"]] = {**record, **kept}
    for annotation in content["annotations"]:
        try:
            record, label = records[annotation["image_id"]], classes[annotation["category_id"]]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{json_file}: annotation {annotation.get('id')} names an image or a category that is not listed "
                f"({error}); tools/check_dataset.py lists all such faults"
            ) from error
        record["annotations"].append(_annotation(annotation, label))
    return list(records.values())


def _annotation(annotation: dict[str, Any], label: int) -> dict[str, Any]:
    """Returns an annotation with detectron2's fields, and with a segmentation only if that encloses an area.

    Args:
        annotation: an entry of the file.
        label: the class of its category.
    """
    result = {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": label,
        "iscrowd": annotation.get("iscrowd", 0),
    }
    masks = annotation.get("segmentation")
    if isinstance(masks, dict):
        is_plain = isinstance(masks["counts"], list)
        result["segmentation"] = mask_utils.frPyObjects(masks, *masks["size"]) if is_plain else masks
    elif masks and (polygons := [p for p in masks if len(p) >= 6 and len(p) % 2 == 0]):
        result["segmentation"] = polygons
    return result
