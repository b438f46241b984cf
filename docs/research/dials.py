"""What two dials of a prediction are worth on the demo's validation scenes: the figures of docs/predict.md.

    python docs/research/dials.py MODEL SCENES

MODEL is the demo's output folder (output/digits), SCENES its data (datasets/digit_scenes).
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torchvision.ops import box_iou

from projects.diffu_base import from_pretrained

MOVED = 0.1  # the corners' normal error, relative to the box's sides
FOUND = 0.5  # the IoU from which a detection lies on an object


def main(model: str, scenes: str) -> None:
    detector = from_pretrained(model)
    content = json.loads((Path(scenes) / "annotations" / "instances_val.json").read_text())
    label_of = {id_: label for label, id_ in enumerate(detector.info.category_ids)}
    boxes, labels = defaultdict(list), defaultdict(list)
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        boxes[each["image_id"]].append([x, y, x + width, y + height])
        labels[each["image_id"]].append(label_of[each["category_id"]])
    files = [str(Path(scenes) / "val" / image["file_name"]) for image in content["images"]]
    truth = [np.array(boxes[image["id"]], dtype=np.float32) for image in content["images"]]
    classes = [np.array(labels[image["id"]]) for image in content["images"]]
    start_boxes(detector, files, truth)
    agreement(detector, files, truth, classes)


def start_boxes(detector, files, truth) -> None:
    """Denoise ground truth whose corners were moved."""
    generator = np.random.default_rng(0)
    sides = [np.tile(each[:, 2:] - each[:, :2], 2) for each in truth]
    moved = [each + generator.normal(0, MOVED, each.shape) * side for each, side in zip(truth, sides, strict=True)]
    print(f"moved boxes: mean IoU {mean_iou(moved, truth):.2f}")
    for steps in (1, 3):
        found = detector.predict(files, start_boxes=moved, steps=steps)
        print(f"denoised, {steps} step(s): mean IoU {mean_iou([each.boxes for each in found], truth):.2f}")


def mean_iou(boxes, truth) -> float:
    pairs = [box_iou(torch.as_tensor(a).float(), torch.as_tensor(b)).diag() for a, b in zip(boxes, truth, strict=True)]
    return float(torch.cat(pairs).mean())


def agreement(detector, files, truth, classes) -> None:
    """Tell detections that lie on an object of their class from others, by score and by agreement."""
    right, scores, agreements = [], [], []
    for result, boxes, labels in zip(detector.predict(files, draws=5, threshold=0.3), truth, classes, strict=True):
        overlaps = box_iou(torch.as_tensor(result.boxes), torch.as_tensor(boxes)).numpy()
        same_class = result.labels[:, None] == labels
        right += ((overlaps >= FOUND) & same_class).any(axis=1).tolist()
        scores += result.scores.tolist()
        agreements += result.agreement.tolist()
    print(f"{len(right)} detections of score 0.3 or more, {sum(right)} on an object of their class")
    print(f"AUC: score {roc_auc_score(right, scores):.2f}, agreement {roc_auc_score(right, agreements):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
