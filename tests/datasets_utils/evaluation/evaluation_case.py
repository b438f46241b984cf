"""A small ground truth, in COCO's format and in LVIS's, and detections, with all that evaluators must get right."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

HEIGHT, WIDTH = 240, 320
CATEGORY_IDS = (2, 3, 5, 7, 11, 13)  # of classes 0 to 5
NAMES = ("cat", "dog", "bus", "tree", "cup", "kite")
ABSENT = 13  # a category without ground truth
NO_OBJECTS, NO_DETECTIONS = (3, 8), (5, 8)  # image ids
NUM_IMAGES, DETECTIONS_PER_IMAGE = 12, 60

Box = tuple[int, int, int, int]  # left, top, width, height


def ground_truth(*, lvis: bool = False) -> dict[str, Any]:
    """Returns the content of an annotation file.

    It has objects of all sizes, images without objects, and crowds. In LVIS's format it has no crowds, but classes that
    are annotated only in some images, and in some of these not exhaustively.
    """
    rng = np.random.default_rng(1)
    images = [{"id": i + 1, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(NUM_IMAGES)]
    categories = [{"id": id, "name": name} for id, name in zip(CATEGORY_IDS, NAMES, strict=True)]
    annotations = []
    for image in images:
        for _ in range(0 if image["id"] in NO_OBJECTS else rng.integers(2, 9)):
            is_crowd = rng.random() < 0.15 and not lvis
            annotation = {"id": len(annotations) + 1, "image_id": image["id"], "iscrowd": int(is_crowd)}
            category = int(rng.choice([id for id in CATEGORY_IDS if id != ABSENT]))
            annotations.append({**annotation, "category_id": category, **_shape(_random_box(rng), is_crowd)})
    if lvis:
        for category, frequency in zip(categories, "rrccff", strict=True):
            category["frequency"] = frequency
        for image in images:
            image["neg_category_ids"] = rng.choice(CATEGORY_IDS, 2, replace=False).tolist()
            image["not_exhaustive_category_ids"] = rng.choice(CATEGORY_IDS, 1).tolist()
    return {"info": {}, "images": images, "categories": categories, "annotations": annotations}


def _random_box(rng: np.random.Generator) -> Box:
    width, height = (int(np.exp(rng.uniform(np.log(6), np.log(side)))) for side in (WIDTH, HEIGHT))
    return int(rng.integers(0, WIDTH - width + 1)), int(rng.integers(0, HEIGHT - height + 1)), width, height


def _shape(box: Box, is_crowd: bool) -> dict[str, Any]:
    """Returns the box and mask of an object, which is a diamond, or a crowd, which is as high as the image."""
    left, top, width, height = box
    if is_crowd:
        counts = [left * HEIGHT, width * HEIGHT, (WIDTH - left - width) * HEIGHT]
        run_lengths = {"size": [HEIGHT, WIDTH], "counts": counts}
        return {"bbox": [left, 0, width, HEIGHT], "area": width * HEIGHT, "segmentation": run_lengths}
    x, y = left + width / 2, top + height / 2
    diamond = [x, top, left + width, y, x, top + height, left, y]
    return {"bbox": list(box), "area": width * height / 2, "segmentation": [diamond]}


def predictions(*, masks: bool = True) -> list[tuple[dict[str, int], dict[str, Instances]]]:
    """Returns a model's input and output for each image. Some boxes are near objects; scores have 20 values."""
    rng = np.random.default_rng(2)
    truth = ground_truth()
    pairs = []
    for image in truth["images"]:
        objects = [annotation for annotation in truth["annotations"] if annotation["image_id"] == image["id"]]
        count = 0 if image["id"] in NO_DETECTIONS else DETECTIONS_PER_IMAGE
        drawn = [_detection(rng, objects) for _ in range(count)]
        instances = Instances((HEIGHT, WIDTH))
        instances.pred_boxes = Boxes(
            torch.tensor(np.array([box for box, _ in drawn]), dtype=torch.float32).reshape(-1, 4)
        )
        instances.scores = torch.from_numpy(rng.integers(1, 21, count).astype(np.float32)) / 20
        instances.pred_classes = torch.tensor([class_id for _, class_id in drawn], dtype=torch.int64)
        if masks:
            drawings = [_draw(box.round().astype(int)) for box, _ in drawn]
            instances.pred_masks = torch.from_numpy(np.array(drawings, dtype=bool).reshape(-1, HEIGHT, WIDTH))
        pairs.append(({"image_id": image["id"]}, {"instances": instances}))
    return pairs


def _detection(rng: np.random.Generator, objects: list[dict[str, Any]]) -> tuple[np.ndarray, int]:
    """Returns a box (xyxy) and a class."""
    near = objects and rng.random() < 0.6
    chosen = objects[rng.integers(len(objects))] if near else None
    left, top, width, height = chosen["bbox"] if near else _random_box(rng)
    box = np.array([left, top, left + width, top + height], dtype=np.float64)
    box += rng.normal(0, 0.08, 4) * (width, height, width, height)
    class_id = CATEGORY_IDS.index(chosen["category_id"]) if near and rng.random() < 0.9 else int(rng.integers(6))
    return box, class_id


def _draw(box: np.ndarray) -> np.ndarray:
    """Returns the mask of a filled ellipse, (H, W) bool."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    width, height = np.maximum(box[2:] - box[:2], 1)
    return ((x - box[[0, 2]].mean()) / width) ** 2 + ((y - box[[1, 3]].mean()) / height) ** 2 <= 0.25


@contextmanager
def registered(folder: Path, truth: dict[str, Any], *, name: str = "evaluation_case") -> Iterator[str]:
    """Writes the ground truth and, within it, has it in detectron2's catalogs under `name`, which it yields."""
    json_file = folder / f"{name}.json"
    json_file.write_text(json.dumps(truth))
    DatasetCatalog.register(name, list)
    classes = {id: i for i, id in enumerate(CATEGORY_IDS)}
    metadata = {"thing_classes": list(NAMES), "thing_dataset_id_to_contiguous_id": classes}
    MetadataCatalog.get(name).set(json_file=str(json_file), **metadata)
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
