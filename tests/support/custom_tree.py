"""Tiny data sets in COCO's format, such as users bring: sound ones, and one with every kind of fault."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (96, 64)  # (width, height)
CATEGORIES = [{"id": 7, "name": "cup"}, {"id": 3, "name": "ball"}, {"id": 40, "name": "shoe"}]
# How often the check finds each kind of fault and of note in the faulty training data.
FAULTS = {
    "malformed category": 1,
    "repeated category id": 1,
    "malformed image entry": 1,
    "repeated image id": 2,
    "missing image": 1,
    "unreadable image": 2,
    "image of another size": 1,
    "malformed annotation": 3,
    "unknown image": 1,
    "unknown category": 1,
    "degenerate box": 2,
    "box outside the image": 2,
}
NOTES = {
    "box reaching beyond the image": 1,
    "box smaller than a pixel": 1,
    "crowd box": 1,
    "image without boxes": 2,
    "category without boxes": 1,
    "category ids with gaps": 1,
    "annotation without an id of its own": 2,
    "annotation without area or iscrowd": 1,
}


def write_custom_tree(
    root: Path, *, num_train: int = 4, num_val: int = 2, faulty: bool = False, masks: bool = False
) -> dict[str, str]:
    """Writes `{train,val}.json` and the folders of images `{train,val}`.

    Args:
        root: the folder to write into.
        num_train, num_val: the number of images without faults.
        faulty: add every kind of fault to the training data.
        masks: give the annotations a `segmentation` that fills the box.

    Returns:
        the paths under the names of a config's `data`: train_json, train_images, val_json, val_images.
    """
    rng = np.random.default_rng(0)
    paths = {}
    for split, count in (("train", num_train), ("val", num_val)):
        content = _sound(root / split, count, rng)
        if faulty and split == "train":
            _add_faults(root / split, content, rng)
        for annotation in content["annotations"] if masks else ():
            x, y, w, h = annotation["bbox"]
            annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        (root / f"{split}.json").write_text(json.dumps(content))
        paths |= {f"{split}_json": str(root / f"{split}.json"), f"{split}_images": str(root / split)}
    return paths


def overrides(paths: dict[str, str]) -> list[str]:
    """Returns the arguments of a command line that name the data."""
    return [f"data.{key}={path}" for key, path in paths.items()]


def _sound(folder: Path, count: int, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Writes the images 1 to `count`, and returns annotations with a box of each category but the last on each."""
    folder.mkdir(parents=True)
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": [dict(c) for c in CATEGORIES]}
    for number in range(1, count + 1):
        _add_image(folder, content, number, rng)
        _annotate(content, number, 7, [8, 8, 30, 40])
        _annotate(content, number, 3, [50, 10, 20.5, 30])
    return content


def _add_image(folder: Path, content: dict, number: int, rng: np.random.Generator, **entry: Any) -> Path:
    """Writes an image and adds its entry. Fields of the entry may contradict the image."""
    path = folder / f"{number}.jpg"
    width, height = SIZE
    Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
    content["images"].append({"id": number, "file_name": path.name, "width": width, "height": height, **entry})
    return path


def _annotate(content: dict, image_id: int, category_id: Any, bbox: Any, **fields: Any) -> None:
    area = bbox[2] * bbox[3] if isinstance(bbox, list) and len(bbox) == 4 else 0
    annotation = {"id": len(content["annotations"]) + 1, "image_id": image_id, "category_id": category_id, "bbox": bbox}
    content["annotations"].append({**annotation, "area": area, "iscrowd": 0, **fields})


def _add_faults(folder: Path, content: dict, rng: np.random.Generator) -> None:
    content["categories"] += [{"id": 3, "name": "globe"}, {"name": "nameless id"}]
    _add_faulty_images(folder, content, rng)
    for image_id, category_id, bbox in (
        (1, 7, [5, 5, 3]), (1, 7, [5, 5, float("nan"), 3]), (1, 7, None),  # malformed
        (1, 7, [5, 5, 0, 10]), (1, 7, [5, 5, 10, -2]),  # degenerate
        (1, 7, [96, 5, 10, 10]), (1, 3, [5, -20, 10, 20]),  # outside the image
        (1, 7, [80, 40, 40, 20]), (1, 7, [5, 5, 0.4, 9]),  # reaching beyond it, smaller than a pixel
        (777, 7, [5, 5, 9, 9]), (1, 999, [5, 5, 9, 9]),  # unknown image, unknown category
    ):  # fmt: skip
        _annotate(content, image_id, category_id, bbox)
    _annotate(content, 1, 7, [9, 9, 9, 9], id=1)
    _annotate(content, 1, 7, [9, 9, 9, 9], id=None)
    content["annotations"][-1].pop("area")


def _add_faulty_images(folder: Path, content: dict, rng: np.random.Generator) -> None:
    for number in (101, 102, 103, 104, 105, 106, 107, 108):
        path = _add_image(folder, content, number, rng)
        if number <= 106:
            _annotate(content, number, 7, [8, 8, 30, 40])
        match number:
            case 101:
                path.unlink()
            case 102:
                path.write_text("no image")
            case 103:
                path.write_bytes(path.read_bytes()[:-400])
            case 104:
                content["images"][-1]["width"] = 640
            case 105:  # the same entry twice
                content["images"].append(dict(content["images"][-1]))
            case 106:  # two files under one id
                content["images"].append({**content["images"][-1], "file_name": "1.jpg"})
            case 107:
                _annotate(content, number, 7, [8, 8, 30, 40], iscrowd=1)
    content["images"].append({"id": 109, "file_name": "1.jpg"})
