"""LVIS v1: 1203 classes on COCO's images, with rare, common and frequent ones."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data.datasets.lvis import get_lvis_instances_meta

from .coco_file import load_coco_format
from .register import datasets_root, load_existing, register

SPLITS = ("train", "val", "minival")
SOURCE = (
    "download the annotations of LVIS v1 from https://www.lvisdataset.org/dataset and unpack {json_name} into the "
    "folder lvis; the images are train2017 and val2017 of COCO, in the folder coco"
)
MINIVAL_SOURCE = (
    "{json_name}, 5,000 of the validation images, comes from MDETR's authors (https://github.com/ashkamath/mdetr); it "
    "belongs into the folder lvis, and its images are those of COCO, in the folder coco"
)


def register_lvis(root: str | os.PathLike | None = None) -> None:
    """Registers `lvis_v1_train`, `lvis_v1_val` and `lvis_v1_minival`; called again, the last root counts.

    Replaces detectron2's data sets of these names, which need the lvis package to be loaded.

    Args:
        root: holds `lvis/lvis_v1_*.json` (or `lvis/annotations/lvis_v1_*.json`) and the images in `coco/` (or in
            `lvis/`, where `lvis/val2017` exists); `$DETECTRON2_DATASETS` if None. It need not exist yet.
    """
    root = datasets_root() if root is None else Path(root)
    # The file names begin with train2017 or val2017.
    image_root = root / "lvis" if (root / "lvis" / "val2017").exists() else root / "coco"
    names: dict[str, Any] = get_lvis_instances_meta("lvis_v1")
    for split in SPLITS:
        name = f"lvis_v1_{split}"
        json_name = f"{name}.json"
        json_file = _first_existing(root / "lvis" / json_name, root / "lvis" / "annotations" / json_name)
        source = (MINIVAL_SOURCE if split == "minival" else SOURCE).format(json_name=json_name)
        load = partial(load_coco_format, json_file, image_root, name)
        register(
            name,
            partial(load_existing, load, name, json_file, image_root, source=source),
            json_file=json_file,
            image_root=image_root,
            evaluator_type="lvis",
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(names["thing_classes"]))},
            **names,
        )


def _first_existing(*paths: Path) -> Path:
    """Returns the first of `paths` that exists, else the first."""
    return next((path for path in paths if path.exists()), paths[0])
