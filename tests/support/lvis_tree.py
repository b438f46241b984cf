"""A tiny data set in the layout of LVIS v1: `lvis/lvis_v1_{train,val,minival}.json`, the images under `coco`."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data.datasets.lvis_v1_categories import LVIS_CATEGORIES
from PIL import Image

SIZES = ((64, 96), (96, 72))  # (height, width), in turn
USED_PER_FREQUENCY = 2  # so many of LVIS's rare categories have objects, and as many common and frequent ones


def write_lvis_tree(root: Path, *, num_train: int = 6, num_val: int = 3, seed: int = 0) -> Path:
    """Writes images of noise with bright rectangles as objects, and annotations with all fields of LVIS's.

    The files have all 1203 categories. The last training image has no objects.

    Args:
        root: the folder that `DETECTRON2_DATASETS` will name.

    Returns:
        `root`.
    """
    rng = np.random.default_rng(seed)
    (root / "lvis").mkdir(parents=True)
    number = 0
    contents = {}
    for split, count in (("train", num_train), ("val", num_val)):
        (root / "coco" / f"{split}2017").mkdir(parents=True)
        content: dict[str, list[Any]] = {"images": [], "annotations": []}
        for index in range(count):
            number += 1
            is_empty = split == "train" and index == count - 1
            _add_image(root / "coco", f"{split}2017", content, number, rng, is_empty=is_empty)
        contents[split] = content
    contents["minival"] = contents["val"]
    categories = _categories(contents["train"])
    for split, content in contents.items():
        (root / "lvis" / f"lvis_v1_{split}.json").write_text(json.dumps({**content, "categories": categories}))
    return root


def used_categories() -> list[int]:
    """Returns the ids of the categories that have objects: as many rare as common and frequent ones."""
    by_frequency = defaultdict(list)
    for category in LVIS_CATEGORIES:
        by_frequency[category["frequency"]].append(category["id"])
    return sorted(id_ for ids in by_frequency.values() for id_ in ids[:USED_PER_FREQUENCY])


def _add_image(
    folder: Path, split_folder: str, content: dict, number: int, rng: np.random.Generator, *, is_empty: bool
) -> None:
    height, width = SIZES[number % 2]
    pixels = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
    used = used_categories()
    # Each image has objects of two categories, in turn so that all occur, and lists two others as absent.
    present = [] if is_empty else [used[number % len(used)], used[(number + 2) % len(used)]]
    for category_id in present:
        h, w = int(rng.integers(height // 4, height // 2)), int(rng.integers(width // 4, width // 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        pixels[y : y + h, x : x + w] = rng.integers(150, 255, 3)
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": number,
                "category_id": category_id,
                "bbox": [x, y, w, h],
                "area": w * h,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
        )
    name = f"{split_folder}/{number:012d}.jpg"
    Image.fromarray(pixels).save(folder / name)
    absent = [id_ for id_ in used if id_ not in present]
    content["images"].append(
        {
            "id": number,
            "coco_url": f"http://images.cocodataset.org/{name}",
            "height": height,
            "width": width,
            "neg_category_ids": absent[:2],
            "not_exhaustive_category_ids": present[:1] if number % 3 == 0 else [],
        }
    )


def _categories(train: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns LVIS's categories. As in LVIS, their counts of images and instances are those in the training images."""
    images, instances = defaultdict(set), defaultdict(int)
    for annotation in train["annotations"]:
        images[annotation["category_id"]].add(annotation["image_id"])
        instances[annotation["category_id"]] += 1
    return [
        {
            **{key: category[key] for key in ("id", "name", "synset", "synonyms", "def", "frequency")},
            "image_count": len(images[category["id"]]),
            "instance_count": instances[category["id"]],
        }
        for category in LVIS_CATEGORIES
    ]
