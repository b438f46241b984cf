"""Writes digit scenes as a data set: image files, and annotation files in COCO's format or LVIS's."""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..register import CLASS_NAMES
from .glyphs import SPLITS, mask_to_polygons
from .scenes import DigitSceneSettings, compose_scene

SETTINGS_FILE = "settings.json"
# Raise this number with every change that makes other scenes of the same settings. Scenes of another version are not
# reused.
FORMAT_VERSION = 1


def build_digit_scenes(root: str | os.PathLike, settings: DigitSceneSettings, *, overwrite: bool = False) -> bool:
    """Writes the scenes of both splits into a folder. An interrupted call leaves nothing behind.

    Args:
        root: the folder to create. It gets `train/`, `val/`, `annotations/instances_{train,val}.json` and
            `settings.json`.
        settings: what the scenes look like.
        overwrite: whether to replace digit scenes of other settings in `root`. Nothing else is ever replaced.

    Returns:
        True if it wrote the scenes, False if `root` has scenes of the same settings already.

    Raises:
        ValueError: `root` has other files than digit scenes, or it has digit scenes of other settings and `overwrite`
            is False.
    """
    root = Path(root)
    wanted = {"format_version": FORMAT_VERSION, **asdict(settings)}
    if _is_built(root, wanted, overwrite):
        return False
    root.parent.mkdir(parents=True, exist_ok=True)
    # The scenes get their final name only when all of them are written.
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-partial-", dir=root.parent))
    try:
        new = partial / "new"
        (new / "annotations").mkdir(parents=True)
        contents = {split: _write_images(new, settings, split) for split in SPLITS}
        if settings.lvis is not None:
            settings.lvis.add(contents, seed=settings.seed)
        for split, content in contents.items():
            (new / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        (new / SETTINGS_FILE).write_text(json.dumps(wanted, indent=2) + "\n")
        if root.exists():
            os.rename(root, partial / "old")
        os.rename(new, root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_built(root: Path, wanted: dict[str, Any], overwrite: bool) -> bool:
    """Returns whether `root` has scenes of the wanted settings; raises as `build_digit_scenes` does."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    marker = root / SETTINGS_FILE
    found = json.loads(marker.read_text()) if marker.is_file() else None
    if not isinstance(found, dict) or "format_version" not in found:
        raise ValueError(f"{root} exists and does not hold digit scenes; name another folder, or remove it")
    # Scenes that were built before a setting existed look as if they were built with its default.
    found = {**json.loads(json.dumps(asdict(DigitSceneSettings()))), **found}
    if found == json.loads(json.dumps(wanted)):
        return True
    if not overwrite:
        changed = {k: (found.get(k), v) for k, v in wanted.items() if found.get(k) != json.loads(json.dumps(v))}
        raise ValueError(
            f"{root} holds digit scenes of other settings (name: (there, wanted)): {changed}; "
            "pass --overwrite (overwrite=True) to replace them, or name another folder"
        )
    return False


def _write_images(root: Path, settings: DigitSceneSettings, split: str) -> dict[str, Any]:
    """Writes the scenes of a split and returns the content of its annotation file."""
    (root / split).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in tqdm(range(settings.num_scenes(split)), desc=f"digit scenes, {split}", unit="scene", mininterval=1):
        scene = compose_scene(settings, split, index)
        height, width = scene.image.shape[:2]
        image = {"id": index + 1, "file_name": f"{index + 1:06d}.jpg", "height": height, "width": width}
        images.append({**image, "crowded": scene.crowded})
        Image.fromarray(scene.image).save(root / split / image["file_name"], quality=95)
        for label, mask in zip(scene.labels, scene.masks, strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **_annotation(label, mask)})
    return {
        "info": {"description": "Handwritten digits on photographs; boxes and masks of the visible pixels"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name, "supercategory": "digit"} for i, name in enumerate(CLASS_NAMES)],
    }


def _annotation(label: int, mask: np.ndarray) -> dict[str, Any]:
    """Returns COCO's fields of a digit. As in COCO itself, box and area are those of the visible pixels.

    Args:
        label: the digit, 0 to 9.
        mask: (H, W) bool, its visible pixels.
    """
    rows, cols = np.nonzero(mask)
    x, y = int(cols.min()), int(rows.min())
    return {
        "category_id": label + 1,
        "bbox": [x, y, int(cols.max()) + 1 - x, int(rows.max()) + 1 - y],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": mask_to_polygons(mask),
    }
