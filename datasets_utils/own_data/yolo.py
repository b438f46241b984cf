"""Reads data sets in YOLO's format: a YAML file that names classes and folders, and a text file beside each image.

hotcoco converts such data too, but it reads neither polygons nor a list of names that has an entry per line.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from ..check import EXIF_ORIENTATION, SIDEWAYS

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
SPLITS = ("train", "val", "test")


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a YAML file that describes a data set in YOLO's format; None if it describes something else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    is_description = isinstance(content, dict) and "names" in content and any(split in content for split in SPLITS)
    return content if is_description else None


def read_yolo(path: Path, description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """The parts of a data set in YOLO's format.

    Args:
        path: the YAML file.
        description: its content.

    Yields:
        "train", "val" or "test"; the part in COCO's format; the folder that its file names are relative to.

    Raises:
        ValueError: a folder does not exist, or a label file has a line that is neither a box nor a polygon.
    """
    names = description["names"]
    names = [names[key] for key in sorted(names)] if isinstance(names, dict) else list(names)
    categories = [{"id": number, "name": str(name)} for number, name in enumerate(names, start=1)]
    for split in SPLITS:
        if not description.get(split):
            continue
        folder = _folder(path, description, str(description[split]))
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
        for number, file in enumerate(files, start=1):
            width, height = _size(file)
            name = file.relative_to(folder).as_posix()
            content["images"].append({"id": number, "file_name": name, "width": width, "height": height})
            content["annotations"] += _annotations(_label_file(file), number, width, height, len(names))
        for number, annotation in enumerate(content["annotations"], start=1):
            annotation["id"] = number
        yield split, content, folder


def _folder(path: Path, description: dict[str, Any], named: str) -> Path:
    """The folder of images that the YAML file names. Roboflow writes `../train/images` for `train/images`."""
    root = path.parent / str(description.get("path") or "")
    candidates = [base / name for base in (root, path.parent) for name in (named, named.removeprefix("../"))]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    raise ValueError(f"{path} names the images {named!r}; there is no folder {candidates[0]}")


def _label_file(image: Path) -> Path:
    """images/a.jpg has its labels in labels/a.txt; without such a folder they lie beside the image."""
    parts = list(image.with_suffix(".txt").parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            return Path(*parts)
    return image.with_suffix(".txt")


def _size(image: Path) -> tuple[int, int]:
    """Width and height as the image is shown. An image that cannot be read gets 0, which the check reports."""
    try:
        with Image.open(image) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(EXIF_ORIENTATION) in SIDEWAYS else (width, height)
    except OSError:
        return 0, 0


def _annotations(file: Path, image_id: int, width: int, height: int, num_classes: int) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        return
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, *values = (float(word) for word in line.split())
        except ValueError as error:
            raise ValueError(f"{os.fspath(file)}, line {number}: {error}") from error
        is_polygon = len(values) >= 6 and len(values) % 2 == 0
        if not (len(values) == 4 or is_polygon) or label not in range(num_classes):
            raise ValueError(
                f"{os.fspath(file)}, line {number} is {line!r}; allowed are a class below {num_classes} and 4 numbers, "
                "x y w h of a box, or 6 and more, x y of a polygon's corners"
            )
        pixels = [value * (height if i % 2 else width) for i, value in enumerate(values)]
        shape = _polygon(pixels) if is_polygon else _box(pixels)
        yield {"image_id": image_id, "category_id": int(label) + 1, "iscrowd": 0, **shape}


def _box(pixels: list[float]) -> dict[str, Any]:
    x, y, w, h = pixels
    return {"bbox": [x - w / 2, y - h / 2, w, h], "area": w * h}


def _polygon(pixels: list[float]) -> dict[str, Any]:
    xs, ys = pixels[::2], pixels[1::2]
    after = [*zip(xs[1:], ys[1:], strict=True), (xs[0], ys[0])]
    area = abs(sum(x * y1 - x1 * y for x, y, (x1, y1) in zip(xs, ys, after, strict=True))) / 2
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return {"bbox": box, "area": area, "segmentation": [pixels]}
