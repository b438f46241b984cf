"""A tiny data set in the layout of COCO 2017: `{train,val}2017` and `annotations/instances_{train,val}2017.json`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES, _get_builtin_metadata
from PIL import Image

IMAGE_SIZES = ((64, 96), (96, 72))  # (height, width), in turn: landscape and portrait


def write_coco_tree(root: Path, *, num_train: int = 8, num_val: int = 3, seed: int = 0) -> Path:
    """Writes images of noise with bright rectangles as objects. The categories are COCO's 80, with ids from 1 to 90.

    The last training image has no objects. The one before it has a crowd region beside its objects.

    Args:
        root: the folder that `DETECTRON2_DATASETS` will name.

    Returns:
        `root`.
    """
    rng = np.random.default_rng(seed)
    (root / "coco" / "annotations").mkdir(parents=True)
    for split, count in (("train2017", num_train), ("val2017", num_val)):
        (root / "coco" / split).mkdir()
        annotations = _Annotations()
        for number in range(1, count + 1):
            size = IMAGE_SIZES[number % 2]
            is_empty = split == "train2017" and number == count
            objects = [] if is_empty else _draw_objects(rng, size)
            image = _draw_image(rng, size, objects)
            annotations.add(number, size, objects, has_crowd=split == "train2017" and number == count - 1)
            Image.fromarray(image).save(root / "coco" / split / f"{number:012d}.jpg")
        annotations.write(root / "coco" / "annotations" / f"instances_{split}.json")
    return root


@contextmanager
def coco_registered(root: Path) -> Iterator[None]:
    """Within it, COCO 2017's names in detectron2's catalogs are those of the tree under `root`."""
    names = {split: f"coco_2017_{split}" for split in ("train", "val")}
    before = {name: (DatasetCatalog.pop(name), MetadataCatalog.pop(name)) for name in names.values()}
    for split, name in names.items():
        json_file = root / "coco" / "annotations" / f"instances_{split}2017.json"
        images = root / "coco" / f"{split}2017"
        register_coco_instances(name, _get_builtin_metadata("coco"), str(json_file), str(images))
    try:
        yield
    finally:
        for name, (load, metadata) in before.items():
            DatasetCatalog[name] = load
            MetadataCatalog[name] = metadata


def _draw_objects(rng: np.random.Generator, size: tuple[int, int]) -> list[tuple[dict, list[int]]]:
    """Returns one to four objects, each a category and its box [x, y, width, height]."""
    things = [category for category in COCO_CATEGORIES if category["isthing"]]
    objects = []
    for _ in range(rng.integers(1, 5)):
        height, width = (int(rng.integers(side // 4, side // 2)) for side in size)
        y, x = (int(rng.integers(0, side - extent)) for side, extent in zip(size, (height, width), strict=True))
        objects.append((things[rng.integers(len(things))], [x, y, width, height]))
    return objects


def _draw_image(rng: np.random.Generator, size: tuple[int, int], objects: list[tuple[dict, list[int]]]) -> np.ndarray:
    image = rng.integers(0, 100, (*size, 3), dtype=np.uint8)
    for category, (x, y, width, height) in objects:
        image[y : y + height, x : x + width] = category["color"]
    return image


class _Annotations:
    """The content of an annotation file."""

    def __init__(self) -> None:
        things = [category for category in COCO_CATEGORIES if category["isthing"]]
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.categories = [{"id": category["id"], "name": category["name"]} for category in things]

    def add(
        self, image_id: int, size: tuple[int, int], objects: list[tuple[dict, list[int]]], *, has_crowd: bool
    ) -> None:
        self.images.append({"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": size[0], "width": size[1]})
        for category, (x, y, width, height) in objects:
            outline = [x, y, x + width, y, x + width, y + height, x, y + height]
            self._annotate(image_id, category["id"], [x, y, width, height], [outline], iscrowd=0)
        if has_crowd:
            height, width = size
            run_lengths = {"size": [height, width], "counts": [0, height * width]}
            self._annotate(image_id, self.categories[0]["id"], [0, 0, width, height], run_lengths, iscrowd=1)

    def _annotate(
        self, image_id: int, category_id: int, bbox: list[int], segmentation: list | dict, *, iscrowd: int
    ) -> None:
        annotation = dict(image_id=image_id, category_id=category_id, bbox=bbox, segmentation=segmentation)
        area = bbox[2] * bbox[3]
        self.annotations.append({"id": len(self.annotations) + 1, **annotation, "area": area, "iscrowd": iscrowd})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self)))
