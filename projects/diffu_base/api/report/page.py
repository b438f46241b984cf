"""The report as one HTML file."""

import datetime
from pathlib import Path
from typing import Any

from projects.diffu_base.api.pages import render
from projects.diffu_base.version import __version__

from .errors import KINDS, MISSED
from .gallery import gallery, image_sizes, suspects
from .measures import COLUMNS, Measures, TaskNumbers

TASKS = {"bbox": "boxes", "segm": "masks"}
WIDEST_BAR = 200  # pixels, of the most costly kind of error
# The tiles of the head: metric, its name there, what it is.
TILES = (
    ("AP", "AP", "mean over IoU 0.50 to 0.95"),
    ("AP50", "AP50", "at IoU 0.50"),
    ("AP75", "AP75", "at IoU 0.75"),
    ("APs", "AP, small", "below 32 × 32 pixels"),
    ("APm", "AP, medium", "up to 96 × 96 pixels"),
    ("APl", "AP, large", "above 96 × 96 pixels"),
    ("APr", "AP, rare", "classes in 1 to 10 training images"),
    ("APc", "AP, common", "classes in 11 to 100 training images"),
    ("APf", "AP, frequent", "classes in more training images"),
    ("F1", "best F1", "mean over classes, at IoU 0.50"),
)


def report_page(measures: Measures, numbers: dict[str, TaskNumbers], image_root: str | Path, thresholds: str) -> str:
    """Returns the page.

    Args:
        measures: what is reported on.
        numbers: task -> its numbers.
        image_root: the folder of the images.
        thresholds: the name of the file that has the thresholds, for the reader.
    """
    saved = measures.saved
    sizes = image_sizes(measures, image_root)
    images, labels = gallery(measures, image_root, sizes), suspects(measures, sizes)
    names = saved.scored.class_names
    data = {
        "tasks": [{"key": task, "numbers": _for_script(each)} for task, each in numbers.items()],
        "images": images,
        "suspects": labels,
        "classNames": names,
        "kinds": [kind._asdict() for kind in KINDS],
        "missed": MISSED._asdict(),
    }
    return render(
        "report.html",
        data=data,
        title=f"What the model detects on {saved.scored.dataset}",
        subtitle=_subtitle(measures),
        tasks=[_task(task, each) for task, each in numbers.items()],
        columns=list(COLUMNS),
        cost=list(saved.facts.get("cost", {}).items()),
        suspects=labels,
        shown=len(images),
        total=len(measures.images),
        class_names=names,
        unlisted=len(names) - len(measures.listed),
        thresholds_file=thresholds,
        footer=f"diffu-detr {__version__}, {datetime.datetime.now():%d %B %Y, %H:%M}. The numbers come from hotcoco.",
    )


def _subtitle(measures: Measures) -> str:
    saved = measures.saved
    objects = sum(not annotation.get("iscrowd", 0) for annotation in measures.content["annotations"])
    parts = [
        f"{len(measures.images):,} images, {objects:,} objects, {len(saved.scored.class_names):,} classes",
        f"{len(saved.table):,} detections",
    ]
    parts += [f"{name} {saved.facts[name]}" for name in ("checkpoint", "iterations") if saved.facts.get(name)]
    return " · ".join(parts)


def _task(task: str, numbers: TaskNumbers) -> dict[str, Any]:
    """What the template reads of a task."""
    tiles = [
        {"name": name, "value": f"{100 * value:.1f}", "help": text}
        for metric, name, text in TILES
        if (value := numbers.metrics.get(metric)) is not None
    ]
    costs = numbers.tide["delta_ap"]
    highest = max(max(costs[kind.tide] for kind in (*KINDS, MISSED) if kind.tide), 1e-9)
    errors = [
        {
            "name": kind.name,
            "help": kind.help,
            "cost": 100 * costs[kind.tide],
            "count": numbers.tide["counts"][kind.tide],
            "width": round(WIDEST_BAR * max(costs[kind.tide], 0) / highest),
        }
        for kind in (*KINDS, MISSED)
        if kind.tide
    ]
    errors.sort(key=lambda error: -error["cost"])
    return {"key": task, "name": TASKS[task], "numbers": numbers, "tiles": tiles, "errors": errors}


def _for_script(numbers: TaskNumbers) -> dict[str, Any]:
    """What the page's script reads of a task."""
    classes = [{key: row[key] for key in ("name", "threshold", "f1")} for row in numbers.classes]
    return {
        "pr": numbers.pr,
        "f1": numbers.f1,
        "threshold": numbers.threshold,
        "classes": classes,
        "calibration": numbers.calibration,
    }
