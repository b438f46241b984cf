"""Finds a user's own data in a folder or a file, and makes of it what a config of own data takes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..coco_format import CocoFiles
from .sources import Source, sources_in
from .split import TRAIN, VAL, split_images

KNOWN = "COCO (also as exported by Roboflow, CVAT and FiftyOne), YOLO with a data.yaml, VOC's XML, CVAT's XML"


class OwnData(NamedTuple):
    """A user's own data.

    Attributes:
        train: the training data.
        val: the validation data; None if there are none.
        layout: a sentence on what was found.
    """

    train: CocoFiles
    val: CocoFiles | None
    layout: str


def find_own_data(
    data: str | os.PathLike, *, work_dir: str | os.PathLike, images: str = "", val_share: float = 0.2
) -> OwnData:
    """Find training and validation data.

    A test part is the validation data if there are no others. A single part is split by image, with the classes shared
    out evenly; the same data are always split in the same way.

    Args:
        data: a folder, an annotation file, or the YAML file of a data set in YOLO's format.
        work_dir: where to write annotation files that are converted or split.
        images: the folder of images; "" looks for it.
        val_share: the share of the images that a split puts into the validation data; 0 splits nothing.

    Raises:
        ValueError: there are no annotations of a known format, two files hold the same part, a file is damaged, or the
            images are not there.
    """
    root = Path(data).expanduser()
    if not root.exists():
        raise ValueError(f"data {str(data)!r}: no such file or folder")
    if images and not Path(images).is_dir():
        raise ValueError(f"folder of images {images!r}: no such folder")
    sources = sources_in(root, Path(images).resolve() if images else None)
    if not sources:
        raise ValueError(f"{root} has no annotations to train on; known are {KNOWN}")
    parts = _parts(sources, root)
    for source in parts.values():
        _drop_unused_supercategory(source)
    tool = next(iter(parts.values())).tool
    if VAL in parts:
        note = f"{parts[TRAIN].origin} and {parts[VAL].origin}"
    elif val_share > 0:
        parts = _split(parts[TRAIN], val_share)
        note = f"{parts[TRAIN].origin}, split into {_counts(parts)} images for training and validation"
    else:
        note = f"{parts[TRAIN].origin}, without validation data"
    train_json, val_json = (_json_file(parts.get(name), Path(work_dir), name) for name in (TRAIN, VAL))
    train = CocoFiles(train_json, str(parts[TRAIN].image_root), train_json)
    val = CocoFiles(val_json, str(parts[VAL].image_root), train_json) if VAL in parts else None
    return OwnData(train, val, f"{tool}: {note}")


def _parts(sources: Sequence[Source], root: Path) -> dict[str, Source]:
    """The training data and, where there are any, the validation data."""
    by_split: dict[str, list[Source]] = {}
    for source in sources:
        by_split.setdefault(source.split, []).append(source)
    unnamed = by_split.pop("", [])
    if TRAIN not in by_split and unnamed:
        by_split[TRAIN] = unnamed
    if TRAIN not in by_split and len(sources) == 1:
        by_split = {TRAIN: list(sources)}  # all there is, whatever it is called
    for split, found in by_split.items():
        if len(found) > 1 and split != "test":
            names = ", ".join(str(source.origin) for source in found[:4])
            raise ValueError(f"{root} has several annotations for {split}: {names}; name one of these files")
    if TRAIN not in by_split:
        raise ValueError(f"{root} has annotations for {', '.join(by_split)}; there are none to train on")
    validation = by_split.get(VAL) or by_split.get("test")
    return {TRAIN: by_split[TRAIN][0], **({VAL: validation[0]} if validation else {})}


def _split(source: Source, share: float) -> dict[str, Source]:
    return {
        name: Source(name, content, source.image_root, source.origin, source.tool)
        for name, content in split_images(source.content, share=share).items()
    }


def _counts(parts: dict[str, Source]) -> str:
    return " and ".join(str(len(source.content["images"])) for source in parts.values())


def _drop_unused_supercategory(source: Source) -> None:
    """Remove the category of no boxes that Roboflow puts before the classes, as their supercategory."""
    categories = source.content["categories"]
    used = {annotation.get("category_id") for annotation in source.content["annotations"]}
    above = {category.get("supercategory") for category in categories if isinstance(category, dict)}
    kept = [c for c in categories if not (_is_roboflow_root(c) and c["name"] in above and c["id"] not in used)]
    if len(kept) < len(categories) and source.origin.name == "_annotations.coco.json":
        source.content["categories"], source.is_coco_file = kept, False


def _is_roboflow_root(category: Any) -> bool:
    return isinstance(category, dict) and category.get("id") == 0 and category.get("supercategory") == "none"


def _json_file(source: Source | None, work_dir: Path, name: str) -> str:
    """The annotation file of a part, which is written if there is none yet; "" without the part."""
    if source is None:
        return ""
    if source.is_coco_file:
        return str(source.origin)
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / f"{name}.json"
    part = path.with_name(f".{name}.{os.getpid()}.json")
    part.write_text(json.dumps(source.content), encoding="utf-8")
    os.replace(part, path)
    return str(path)
