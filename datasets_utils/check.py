"""Checks a data set in COCO's format before training, and makes annotations without the faulty entries."""

import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from .check_report import NO_AREA, NO_ID, Report
from .coco_file import LISTS, image_name, read_coco_file

# The report does not mention boxes that reach up to this many pixels beyond the image. Rounding makes COCO's own boxes
# do so.
BORDER = 1.0
IMAGES_AT_ONCE = 4096  # the number of images that wait for the threads that read them
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # the EXIF orientations that swap height and width

logger = logging.getLogger(__name__)


def check_coco_format(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    *,
    class_file: str | os.PathLike | None = None,
    read_images: bool = True,
) -> Report:
    """Checks the entries of an annotation file, and the image files that they name.

    Args:
        json_file: the annotation file, in COCO's format or LVIS's.
        image_root: the folder that the file names in `json_file` are relative to.
        class_file: the annotation file whose categories are the classes. For validation data it is the file of the
            training data. None is `json_file` itself.
        read_images: whether to decode every image. If False, the check only looks whether the image files exist.

    Raises:
        ValueError: `image_root` does not exist, or see `read_coco_file`.
    """
    content = read_coco_file(json_file)
    if not os.path.isdir(image_root):
        raise ValueError(f"image folder {str(image_root)!r}: no such folder")
    report = Report(str(json_file), str(image_root), {name: len(content[name]) for name in LISTS})
    names = _check_categories(content["categories"], report)
    classes = names
    if class_file is not None and str(class_file) != str(json_file):
        classes = sound_categories(class_file)
    images = _check_images(content["images"], report)
    _check_files(images, report, read_images)
    known = {id_: name for id_, name in names.items() if classes.get(id_) == name}
    _check_annotations(content["annotations"], images, known, report)
    return report


def mended(report: Report) -> dict[str, Any]:
    """Returns the content of the report's annotation file without the faulty entries.

    The annotations get an `area` and an `iscrowd`, which evaluators read, if they have none. If ids are missing or
    repeated, all annotations are numbered anew.

    Raises:
        ValueError: no annotation is left.
    """
    content = read_coco_file(report.json_file)
    kept = {
        name: [entry for position, entry in enumerate(content[name]) if position not in report.dropped[name]]
        for name in LISTS
    }
    image_ids = {image["id"] for image in kept["images"]}
    boxes = [
        {"area": box["bbox"][2] * box["bbox"][3], "iscrowd": 0, **box}
        for box in kept["annotations"]
        if box["image_id"] in image_ids
    ]
    if not boxes:
        raise ValueError(f"without its faults, no box is left of\n{report}")
    if report.counts[NO_ID]:
        boxes = [{**box, "id": number} for number, box in enumerate(boxes, start=1)]
    return {**content, **kept, "annotations": boxes}


def sound_categories(json_file: str | os.PathLike) -> dict[int, str]:
    """Returns the category names of an annotation file by id, without malformed and repeated categories.

    Raises:
        ValueError: see `read_coco_file`.
    """
    return _check_categories(read_coco_file(json_file)["categories"], Report(str(json_file), ""))


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_categories(categories: list[Any], report: Report) -> dict[int, str]:
    """Adds the faults of the categories to the report. Returns the names of the categories without faults by id."""
    names: dict[int, str] = {}
    for position, category in enumerate(categories):
        drop = ("categories", position)
        if not isinstance(category, dict) or not _is_id(category.get("id")) or "name" not in category:
            report.add("malformed category", f"{category!r:.80} lacks a whole number as id, or a name", drop=drop)
        elif category["id"] in names:
            report.add(
                "repeated category id", f"{category['id']}: {names[category['id']]} and {category['name']}", drop=drop
            )
        else:
            names[category["id"]] = category["name"]
    if names and sorted(names) != list(range(min(names), min(names) + len(names))):
        report.add("category ids with gaps", f"{len(names)} categories with ids from {min(names)} to {max(names)}")
    return names


def _check_images(images: list[Any], report: Report) -> dict[int, dict[str, Any]]:
    """Adds the faults of the image entries to the report.

    Returns:
        what the checks of files and annotations need of the entries without faults, by image id: the "position" in
        the file's list, the file "name", the "size" (width, height), and a count of the image's "boxes", still 0.
    """
    sound: dict[int, dict[str, Any]] = {}
    ambiguous = set()
    for position, image in enumerate(images):
        drop = ("images", position)
        try:
            name = image_name(image)
            is_sound = isinstance(name, str) and _is_id(image["id"]) and min(image["height"], image["width"]) >= 1
        except (AttributeError, KeyError, TypeError):
            is_sound = False
        if not is_sound:
            report.add("malformed image entry", f"{image!r:.80} lacks id, file name, height or width", drop=drop)
        elif (first := sound.get(image["id"])) is not None:
            report.add("repeated image id", f"{image['id']}: {first['name']} and {name}", drop=drop)
            if name != first["name"]:
                ambiguous.add(image["id"])
        else:
            size = (image["width"], image["height"])
            sound[image["id"]] = {"position": position, "name": name, "size": size, "boxes": 0}
    for image_id in ambiguous:  # Nobody can tell which of the two files the boxes belong to.
        report.dropped["images"].add(sound[image_id]["position"])
    return sound


def _check_files(images: dict[int, dict[str, Any]], report: Report, read_images: bool) -> None:
    """Adds the faults of the image files to the report."""
    logger.info("Checking %d images in %s", len(images), report.image_root)
    ids = list(images)
    # Threads decode at the same time, because Pillow releases Python's global lock meanwhile.
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        for start in range(0, len(ids), IMAGES_AT_ONCE):
            batch = [images[image_id] for image_id in ids[start : start + IMAGES_AT_ONCE]]
            faults = pool.map(lambda image: _file_fault(image, report.image_root, read_images), batch)
            for image, fault in zip(batch, faults, strict=True):
                if fault is not None:
                    kind, reason = fault
                    report.add(kind, f"{image['name']}: {reason}", drop=("images", image["position"]))


def _file_fault(image: dict[str, Any], image_root: str, read_images: bool) -> tuple[str, str] | None:
    """Returns the kind of an image file's fault and its description, or None if the file has no fault."""
    path = os.path.join(image_root, image["name"])
    if not os.path.isfile(path):
        return "missing image", "no such file"
    if not read_images:
        return None
    try:
        width, height = _decoded_size(path)
    # Pillow raises any of these for a broken file.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "unreadable image", str(error)
    if (width, height) != image["size"]:
        listed = " x ".join(map(str, image["size"]))
        return "image of another size", f"the file has {width} x {height} pixels, its entry says {listed}"
    return None


def _decoded_size(path: str) -> tuple[int, int]:
    """Decodes an image file to its end and returns (width, height) after EXIF orientation, as the mapper sees it."""
    with Image.open(path) as image:
        width, height = image.size
        orientation = image.getexif().get(EXIF_ORIENTATION)
        image.draft("RGB", (1, 1))  # saves time: a JPEG is decoded at an eighth of its size, but to its end
        image.load()
    return (height, width) if orientation in SIDEWAYS else (width, height)


def _check_annotations(
    annotations: list[Any], images: dict[int, dict[str, Any]], names: dict[int, str], report: Report
) -> None:
    """Adds the faults and notes of the annotations to the report, and counts each image's boxes in `images`.

    Args:
        annotations: the file's list.
        images: what `_check_images` returned.
        names: the classes' names by category id.
        report: receives the findings.
    """
    ids: set[int] = set()
    used = set()
    for position, annotation in enumerate(annotations):
        drop = ("annotations", position)
        if not isinstance(annotation, dict) or not _is_id(annotation.get("image_id")):
            report.add("malformed annotation", f"{annotation!r:.80} has no whole number as image_id", drop=drop)
            continue
        image = images.get(annotation["image_id"])
        here = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
        category, box = annotation.get("category_id"), annotation.get("bbox")
        if image is None:
            report.add("unknown image", here, drop=drop)
        elif not _is_id(category) or category not in names:
            report.add("unknown category", f"{here}: category {category!r:.40}", drop=drop)
        elif (fault := _box_fault(box, *image["size"])) is not None:
            report.add(fault, f"{here}: bbox {box!r:.80}", drop=drop)
        else:
            _note_box(annotation, image["size"], here, report)
            if not _is_id(annotation.get("id")) or annotation["id"] in ids:
                report.add(NO_ID, here)
            else:
                ids.add(annotation["id"])
            used.add(category)
            image["boxes"] += not annotation.get("iscrowd")
    for image_id, image in images.items():
        if not image["boxes"]:
            report.add("image without boxes", f"{image_id}: {image['name']}")
    for category_id in sorted(names.keys() - used):
        report.add("category without boxes", f"{category_id}: {names[category_id]}")


def _box_fault(box: Any, width: int, height: int) -> str | None:
    """Returns the kind of fault of a box [x, y, width, height] in an image of `width` x `height`, or None."""
    is_number = [isinstance(v, int | float) and math.isfinite(v) for v in box] if isinstance(box, list) else []
    if len(is_number) != 4 or not all(is_number):
        return "malformed annotation"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "degenerate box"
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return "box outside the image"
    return None


def _note_box(annotation: dict[str, Any], size: tuple[int, int], here: str, report: Report) -> None:
    """Adds to the report what is notable about an annotation without a fault; `here` says which one it is."""
    x, y, w, h = annotation["bbox"]
    if min(x, y) < -BORDER or x + w > size[0] + BORDER or y + h > size[1] + BORDER:
        report.add("box reaching beyond the image", f"{here}: bbox {annotation['bbox']} in {size[0]} x {size[1]}")
    if min(w, h) < 1:
        report.add("box smaller than a pixel", f"{here}: bbox {annotation['bbox']}")
    if annotation.get("iscrowd"):
        report.add("crowd box", here)
    if "area" not in annotation or "iscrowd" not in annotation:
        report.add(NO_AREA, here)
