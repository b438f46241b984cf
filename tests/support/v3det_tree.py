"""A tiny data set in the layout of V3Det: `v3det/annotations/v3det_2023_v1_{train,val}.json` and `v3det/images`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NUM_CLASSES = 13204
USED = (1, 2, 700, 13204)
SIZES = ((64, 96), (96, 72))  # (height, width), in turn


def write_v3det_tree(root: Path, *, num_train: int = 6, num_val: int = 3, seed: int = 0) -> Path:
    """Writes images of noise with bright rectangles as objects, in several folders, and 13,204 made-up categories.

    Args:
        root: the folder that `DETECTRON2_DATASETS` will name.

    Returns:
        `root`.
    """
    rng = np.random.default_rng(seed)
    folder = root / "v3det"
    (folder / "annotations").mkdir(parents=True)
    categories = [
        {"id": i, "name": f"thing {i}", "name_zh": "", "cat_info": [], "cat_info_gpt": [], "novel": i % 2 == 0}
        for i in range(1, NUM_CLASSES + 1)
    ]
    number = 0
    for split, count in (("train", num_train), ("val", num_val)):
        content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": categories}
        for _ in range(count):
            number += 1
            _add_image(folder, content, number, rng)
        (folder / "annotations" / f"v3det_2023_v1_{split}.json").write_text(json.dumps(content))
    return root


def _add_image(folder: Path, content: dict, number: int, rng: np.random.Generator) -> None:
    height, width = SIZES[number % 2]
    pixels = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
    for offset in range(2):
        h, w = int(rng.integers(height // 4, height // 2)), int(rng.integers(width // 4, width // 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        pixels[y : y + h, x : x + w] = rng.integers(150, 255, 3)
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": number,
                "category_id": USED[(number + offset) % len(USED)],
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
            }
        )
    name = f"images/n{number % 2:08d}/{number}_photo.jpg"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    content["images"].append({"id": number, "file_name": name, "height": height, "width": width})
