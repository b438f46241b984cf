"""The kind of error of every detection, as TIDE (Bolya et al., ECCV 2020) tells them apart.

hotcoco counts the kinds but does not say which detection is of which kind, and a gallery must.
"""

import numpy as np
import pycocotools.mask as mask_util

from datasets_utils.evaluation.detections import DetectionTable

# The names that the report gives to TIDE's kinds, in the order of their numbers; "Miss" is of objects.
CORRECT, LOCATION, CLASS, DUPLICATE, BOTH, BACKGROUND, NOT_COUNTED = range(7)
TIDE_NAMES = {"Loc": LOCATION, "Cls": CLASS, "Dupe": DUPLICATE, "Both": BOTH, "Bkg": BACKGROUND}
OVERLAP, ANY_OVERLAP = 0.5, 0.1  # IoU from which a box is right, and from which it is about an object at all


def kinds_in_image(table: DetectionTable, correct: np.ndarray, annotations: list[dict]) -> np.ndarray:
    """Returns the kind (n,) of each of an image's detections.

    Args:
        table: the n detections.
        correct: (n,) 1 for a correct one, 0 for a false one, -1 for one that does not count.
        annotations: the image's annotations in COCO's format.
    """
    objects = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
    boxes = np.array([annotation["bbox"] for annotation in objects], dtype=np.float64).reshape(-1, 4)
    labels = np.array([annotation["category_id"] for annotation in objects], dtype=np.int64)
    iou = np.zeros((len(table), len(objects)))
    if iou.size:
        found = np.asarray(table.boxes_xywh_abs, dtype=np.float64)
        iou = np.asarray(mask_util.iou(found, boxes, np.zeros(len(boxes), dtype=np.uint8)))
    same = table.category_ids[:, None] == labels
    iou_same = np.where(same, iou, 0).max(axis=1, initial=0)
    iou_other = np.where(same, 0, iou).max(axis=1, initial=0)
    # An object of the class that a false detection covers well has a better detection, so this one is a duplicate.
    false = np.select(
        [iou_same >= OVERLAP, iou_same >= ANY_OVERLAP, iou_other >= OVERLAP, iou_other >= ANY_OVERLAP],
        [DUPLICATE, LOCATION, CLASS, BOTH],
        BACKGROUND,
    )
    return np.select([correct == 1, correct == 0], [np.full(len(table), CORRECT), false], NOT_COUNTED)
