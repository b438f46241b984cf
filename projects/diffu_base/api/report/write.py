"""Writes the files of a report into the folder of a run."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from datasets_utils.evaluation.saved import SavedDetections
from projects.diffu_base.api.model_folder import ModelInfo
from projects.diffu_base.api.pages import write

from .measures import Measures, TaskNumbers
from .page import report_page
from .thresholds import IOU

DETECTIONS, REPORT, THRESHOLDS = "detections.npz", "report.html", "thresholds.json"

logger = logging.getLogger(__name__)


def write_report(folder: str | Path, *, annotations: str = "", images: str = "") -> Path:
    """Writes `report.html` and `thresholds.json` about the detections that an evaluation left in `folder`.

    Args:
        folder: a run's or an evaluation's output folder, with `detections.npz`.
        annotations: the annotation file, if it is no longer where the evaluation read it.
        images: the folder of the images, likewise.

    Returns:
        the path of `report.html`.

    Raises:
        ValueError: the folder holds no detections, or there is no such annotation file.
    """
    folder = Path(folder)
    if not (folder / DETECTIONS).is_file():
        raise ValueError(
            f"{str(folder)!r} holds no {DETECTIONS}; a training writes it with its evaluations, and so does "
            "`diffudetr eval`"
        )
    saved = SavedDetections.load(folder / DETECTIONS)
    scored = saved.scored
    scored = dataclasses.replace(
        scored, json_file=annotations or scored.json_file, image_root=images or scored.image_root
    )
    saved = dataclasses.replace(saved, scored=scored)
    measures = Measures(saved)
    numbers = {task: measures.numbers(task) for task in measures.tasks}
    text = json.dumps(thresholds(measures, numbers["bbox"]), indent=2, ensure_ascii=False)
    (folder / THRESHOLDS).write_text(text + "\n", encoding="utf-8")
    page = write(report_page(measures, numbers, scored.image_root, THRESHOLDS), folder / REPORT)
    logger.info(f"Wrote the report {page}")
    return page


def thresholds(measures: Measures, numbers: TaskNumbers) -> dict[str, Any]:
    """The best score threshold of all classes together and of each class of the model, in its order.

    A class without objects or without a correct detection has the threshold null.
    """
    scored = measures.saved.scored
    classes = []
    for name, category, curve in zip(scored.class_names, scored.category_ids, measures.box_curves, strict=True):
        best = vars(curve.best) if curve.best else dict.fromkeys(("threshold", "f1", "precision", "recall"))
        classes.append({"name": name, "category_id": category, "objects": curve.objects, **best})
    return {
        "criterion": f"the highest F1 of boxes at IoU {IOU:g}",
        "dataset": scored.dataset,
        "threshold": numbers.threshold,
        "classes": classes,
    }


def give_thresholds(folder: str | Path, model_folder: str | Path) -> None:
    """Gives a model folder the thresholds that a report found for its weights; `predict` then uses them.

    A class without a threshold of its own gets the one that suits all classes best. If the report is on other classes
    than the model's, the folder stays as it is.

    Args:
        folder: where `write_report` has written.
        model_folder: the model's folder.

    Raises:
        ValueError: `model_folder` is no model folder.
    """
    found = json.loads((Path(folder) / THRESHOLDS).read_text(encoding="utf-8"))
    info = ModelInfo.read(model_folder)
    if [row["name"] for row in found["classes"]] != info.classes:
        logger.warning(f"{model_folder} gets no thresholds: the evaluation was on other classes than the model's")
        return
    chosen = [found["threshold"] if row["threshold"] is None else row["threshold"] for row in found["classes"]]
    info.model_copy(update={"thresholds": chosen}).write(model_folder)
