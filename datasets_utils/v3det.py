"""V3Det: 13,204 classes. Their names come from the annotation file."""

import os
from functools import partial
from pathlib import Path

from .coco_file import load_coco_format
from .register import datasets_root, load_existing, register

SOURCE = (
    "see https://github.com/V3Det/V3Det: {json_name} belongs into the folder v3det/annotations, and its "
    "v3det_image_download.py fetches the images, which belong into v3det/images"
)


def register_v3det(root: str | os.PathLike | None = None) -> None:
    """Registers `v3det_train` and `v3det_val`; called again, the last root counts.

    Args:
        root: holds `v3det/annotations/v3det_2023_v1_{train,val}.json` and `v3det/images/`; `$DETECTRON2_DATASETS` if
            None. It need not exist yet.
    """
    folder = (datasets_root() if root is None else Path(root)) / "v3det"
    for split in ("train", "val"):
        name = f"v3det_{split}"
        json_file = folder / "annotations" / f"v3det_2023_v1_{split}.json"
        load = partial(load_coco_format, json_file, folder, name)  # the file names begin with images/
        source = SOURCE.format(json_name=json_file.name)
        register(
            name,
            partial(load_existing, load, name, json_file, folder / "images", source=source),
            json_file=json_file,
            image_root=folder,
            evaluator_type="coco",
        )
