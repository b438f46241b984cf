"""Puts the digit scenes into detectron2's catalogs, where their files are read only when asked for."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

ROOT_VARIABLE = "DETECTRON2_DATASETS"
BUILD_COMMAND = "python tools/build_digit_scenes.py"
CLASS_NAMES = tuple(str(digit) for digit in range(10))


def digit_scenes_root() -> Path:
    """Returns where the digit scenes belong: `$DETECTRON2_DATASETS/digit_scenes`, by default `./datasets/...`."""
    return Path(os.environ.get(ROOT_VARIABLE, "datasets")).expanduser() / "digit_scenes"


def register_digit_scenes(root: str | os.PathLike | None = None) -> None:
    """Registers `digit_scenes_train` and `digit_scenes_val`; called again, the last root counts.

    Args:
        root: folder of the COCO tree, `digit_scenes_root()` if None. It need not exist yet.
    """
    root = Path(root) if root is not None else digit_scenes_root()
    for split in ("train", "val"):
        name = f"digit_scenes_{split}"
        json_file, image_root = root / "annotations" / f"instances_{split}.json", root / split
        if name in DatasetCatalog.list():
            if MetadataCatalog.get(name).json_file == str(json_file):
                continue
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        DatasetCatalog.register(name, partial(_load, json_file, image_root, name))
        MetadataCatalog.get(name).set(
            json_file=str(json_file),
            image_root=str(image_root),
            evaluator_type="coco",
            thing_classes=list(CLASS_NAMES),
            # Stated here as well as found in the file, so that an evaluator that never loaded the data maps ids back.
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASS_NAMES))},
        )


def _load(json_file: Path, image_root: Path, name: str) -> list[dict[str, Any]]:
    if not json_file.is_file():
        raise FileNotFoundError(
            f"{name}: {json_file} does not exist. Digit scenes are looked for in the folder digit_scenes under "
            f"${ROOT_VARIABLE} (now {os.environ.get(ROOT_VARIABLE, 'unset, so ./datasets')!r}); "
            f"build them with `{BUILD_COMMAND}`"
        )
    return load_coco_json(str(json_file), str(image_root), name)
