"""The kind of error of every detection, as TIDE (Bolya et al., ECCV 2020) tells them apart.

hotcoco counts the kinds but does not say which detection is of which kind, and a gallery must.
"""

from typing import NamedTuple

import numpy as np
import pycocotools.mask as mask_util

from datasets_utils.evaluation.detections import DetectionTable


class Kind(NamedTuple):
    """A kind of error as pages show it; `tide` is its name in TIDE, empty for what is no error."""

    name: str
    color: str
    help: str
    tide: str = ""


# The kinds of detections, in the order of their numbers, and that of objects.
KINDS = (
    Kind("correct", "#1f9d55", "the right class, on an object by IoU 0.5 or more"),
    Kind("poor box", "#8338ec", "the right class, but the box overlaps the object by IoU 0.1 to 0.5 only", "Loc"),
    Kind("wrong class", "#e36b00", "on an object of another class by IoU 0.5 or more", "Cls"),
    Kind("duplicate", "#0a7fc2", "on an object that a detection of a higher score has found already", "Dupe"),
    Kind("wrong class and poor box", "#c2188f", "near an object of another class, by IoU 0.1 to 0.5", "Both"),
    Kind("nothing there", "#d62828", "on the background: no annotated object overlaps it by IoU 0.1", "Bkg"),
    Kind("not counted", "#6b7280", "a crowd, or a detection of one: neither right nor wrong"),
)
MISSED = Kind("missed", "#d62828", "an annotated object that no detection of its class covers by IoU 0.5", "Miss")
CORRECT, LOCATION, CLASS, DUPLICATE, BOTH, BACKGROUND, NOT_COUNTED = range(7)
OVERLAP, ANY_OVERLAP = 0.5, 0.1  # IoU from which a box is right, and from which it is about an object at all


def kinds_in_image(table: DetectionTable, correct: np.ndarray, annotations: list[dict]) -> np.ndarray:
    """Returns the kind (n,) of each of an image's detections.

    Args:
        table: the n detections.
        correct: (n,) 1 for a correct one, 0 for a false one, -1 for one that does not count.
        annotations: the image's annotations in COCO's format.
    """
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    labels = np.array([annotation["category_id"] for annotation in annotations], dtype=np.int64)
    crowd = np.array([annotation.get("iscrowd", 0) for annotation in annotations], dtype=bool)
    iou = np.zeros((len(table), len(annotations)))
    if iou.size:
        found = np.asarray(table.boxes_xywh_abs, dtype=np.float64)
        iou = np.asarray(mask_util.iou(found, boxes, np.zeros(len(boxes), dtype=np.uint8)))
    same = table.category_ids[:, None] == labels
    iou_same = np.where(same, iou, 0).max(axis=1, initial=0)
    iou_other = np.where(same | crowd, 0, iou).max(axis=1, initial=0)  # as hotcoco: a crowd is not taken for a class
    # An object of the class that a false detection covers well has a better detection, so this one is a duplicate.
    false = np.select(
        [iou_same >= OVERLAP, iou_same >= ANY_OVERLAP, iou_other >= OVERLAP, iou_other >= ANY_OVERLAP],
        [DUPLICATE, LOCATION, CLASS, BOTH],
        BACKGROUND,
    )
    return np.select([correct == 1, correct == 0], [np.full(len(table), CORRECT), false], NOT_COUNTED)
