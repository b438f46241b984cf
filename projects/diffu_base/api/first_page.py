"""A page of training images as the model sees them, augmented and with boxes: mistakes in the data show there."""

import copy
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import instantiate
from detectron2.utils.env import seed_all_rng
from omegaconf import DictConfig
from PIL import Image

from .drawing import drawn

COLUMNS, ROWS = 4, 3
CELL = 360  # pixels of a picture's longer side
GAP = 6


def write_first_page(path: str, loader: DictConfig, class_names: Sequence[str], *, seed: int = 0) -> None:
    """Write a picture of some images of a training loader.

    Args:
        path: the PNG file.
        loader: the config's `dataloader.train`; images are drawn from all of its data, with its augmentation.
        class_names: the names of the classes.
        seed: of the choice and of the augmentation. NumPy's and Python's generators are seeded by it.
    """
    dataset, mapper = instantiate(loader.dataset), instantiate(loader.mapper)
    chosen = random.Random(seed).sample(range(len(dataset)), min(COLUMNS * ROWS, len(dataset)))
    seed_all_rng(seed)
    pictures = [
        _picture(mapper(copy.deepcopy(dataset[number])), class_names, loader.mapper.get("img_format", "RGB"))
        for number in chosen
    ]
    for picture in pictures:
        picture.thumbnail((CELL, CELL))
    width, height = (max(sizes) + GAP for sizes in zip(*(picture.size for picture in pictures), strict=True))
    columns = min(COLUMNS, len(pictures))
    page = Image.new("RGB", (columns * width + GAP, -(-len(pictures) // columns) * height + GAP), "white")
    for place, picture in enumerate(pictures):
        page.paste(picture, (GAP + place % columns * width, GAP + place // columns * height))
    page.save(path)


def _picture(mapped: dict[str, Any], class_names: Sequence[str], img_format: str) -> Image.Image:
    image = mapped["image"].permute(1, 2, 0).numpy()
    rgb = np.ascontiguousarray(image[..., ::-1] if img_format == "BGR" else image)
    instances = mapped["instances"]
    labels = instances.gt_classes.numpy()
    texts = [class_names[label] for label in labels]
    return Image.fromarray(drawn(rgb, instances.gt_boxes.tensor.numpy(), texts, labels))
