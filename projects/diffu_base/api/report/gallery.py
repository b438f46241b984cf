"""The images of a report: ground truth and detections of each, worst first, and suspected label errors."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from datasets_utils.coco_file import image_name
from datasets_utils.evaluation.detections import DetectionTable

from .errors import kinds_in_image
from .measures import Measures
from .thumbnails import thumbnails

MOST_IMAGES = 5000  # of more images, the worst are shown
MOST_SUSPECTS = 200
MOST_BYTES = 22_000_000  # of all thumbnails
SCALE = 1000  # boxes are whole numbers, in thousandths of the image's width and height
SUSPICIOUS_SCORE = 0.5  # only detections from this score on cast doubt on a label


def image_sizes(measures: Measures, image_root: str | Path) -> dict[int, tuple[int, int]]:
    """Image id -> width and height, from the annotation file, or from the image where the file does not say."""
    return {id: _size(image, Path(image_root)) for id, image in measures.images.items()}


def gallery(measures: Measures, image_root: str | Path, sizes: dict[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Returns the images, worst first: ordered by their F1, then by how many errors they have.

    Each has `id`, `file`, `width`, `height`; `thumbnail`, a data URI or None; `f1`; `objects`, each [x, y, w, h, class,
    found, annotation id]; and `detections`, each [x, y, w, h, class, score, kind]. Boxes are in thousandths of the
    image's sides, a class is a position among the model's classes or -1, found is 1, 0 or, for a crowd, -1, and a kind
    is one of `errors`.
    """
    summary = measures.kept_diagnostics["img_summary"]
    rows = _rows_by_image(measures.kept)
    images = [_entry(measures, id, rows.get(id, np.arange(0)), summary.get(id), sizes[id]) for id in measures.images]
    images.sort(key=lambda image: (image["f1"], -image["errors"], image["file"]))
    images = images[:MOST_IMAGES]
    pictures = thumbnails([Path(image_root) / image["file"] for image in images], MOST_BYTES)
    return [{**image, "thumbnail": picture} for image, picture in zip(images, pictures, strict=True)]


def suspects(measures: Measures, sizes: dict[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Returns the suspected label errors, most suspicious first, as hotcoco finds them.

    Each has `image`, the image's id; `score`, of the detection; `says`, the detection's class; `labelled`, the class of
    the annotation that it contradicts, or None if there is no annotation; `annotation`, its id or None; and `box`.
    """
    diagnostics = measures.evaluation(measures.kept, "bbox").image_diagnostics(score_thr=SUSPICIOUS_SCORE)
    boxes = measures.kept.boxes_xywh_abs
    return [
        {
            "image": error["image_id"],
            "score": round(error["dt_score"], 3),
            "says": error["dt_category"],
            "labelled": error["gt_category"],
            "annotation": error["gt_id"],
            "box": _thousandths(boxes[error["dt_id"] - 1], *sizes[error["image_id"]]),
        }
        for error in diagnostics["label_errors"][:MOST_SUSPECTS]
    ]


def _rows_by_image(table: DetectionTable) -> dict[int, np.ndarray]:
    """Image id -> the numbers of its rows, best first."""
    order = np.lexsort((-table.scores, table.image_ids))
    ids, starts = np.unique(table.image_ids[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}


def _entry(
    measures: Measures, image_id: int, rows: np.ndarray, summary: dict[str, Any] | None, size: tuple[int, int]
) -> dict[str, Any]:
    """An image of the gallery without its thumbnail."""
    image, annotations = measures.images[image_id], measures.annotations[image_id]
    width, height = size
    table = measures.kept.select(rows)
    kinds = kinds_in_image(table, measures.kept_correct[rows], annotations)
    classes = {id: position for position, id in enumerate(measures.saved.scored.category_ids)}
    found = {"matched": 1, "fn": 0}
    status = measures.kept_diagnostics["gt_status"]
    objects = [
        [
            *_thousandths(annotation["bbox"], width, height),
            classes.get(annotation["category_id"], -1),
            found.get(status.get(annotation["id"], ""), -1),
            annotation["id"],
        ]
        for annotation in annotations
    ]
    columns = (table.boxes_xywh_abs, table.category_ids.tolist(), table.scores.tolist(), kinds.tolist())
    detections = [
        [*_thousandths(box, width, height), classes.get(category, -1), round(score, 2), kind]
        for box, category, score, kind in zip(*columns, strict=True)
    ]
    # An image with neither objects nor detections is right as it is.
    counted = summary is not None and summary["tp"] + summary["fp"] + summary["fn"] > 0
    errors = summary["fp"] + summary["fn"] if counted and summary else 0
    f1 = round(summary["f1"], 3) if counted and summary else 1.0
    entry = {"id": image_id, "file": image_name(image), "width": width, "height": height}
    return {**entry, "f1": f1, "errors": errors, "objects": objects, "detections": detections}


def _size(entry: dict[str, Any], image_root: Path) -> tuple[int, int]:
    if "width" in entry and "height" in entry:
        return entry["width"], entry["height"]
    try:
        with Image.open(image_root / image_name(entry)) as image:
            return ImageOps.exif_transpose(image).size
    except OSError:
        return 1, 1  # nothing can be drawn on it anyway


def _thousandths(box_xywh_abs: Any, width: int, height: int) -> list[int]:
    x, y, w, h = (float(value) for value in box_xywh_abs)
    return [round(value * SCALE / side) for value, side in ((x, width), (y, height), (w, width), (h, height))]
