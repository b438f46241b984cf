"""Compares the packages that score detections on synthetic results: time, memory, and whether they agree to the bit.

    python tools/benchmark_evaluators.py                                            # the size of COCO's val2017
    python tools/benchmark_evaluators.py --style lvis --images 2000 --boxes 600000
    python tools/benchmark_evaluators.py --classes 13204 --images 1000 --boxes 300000 --skip pycocotools

Each package (back end) runs in a process of its own. Its seconds begin when the detections are in memory and include
the reading of the ground truth. Its memory is the highest of the process; the row "none" is a process that has Python,
PyTorch and the detections alone.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np

from datasets_utils.evaluation import CocoStyleEvaluator, LvisStyleEvaluator
from datasets_utils.evaluation.backends import choose_backend
from datasets_utils.evaluation.detections import DetectionTable
from projects.diffu_base.commands.errors import run_tool

STYLES = {"coco": CocoStyleEvaluator, "lvis": LvisStyleEvaluator}
NUM_CLASSES = {"coco": 80, "lvis": 1203}
WIDTH, HEIGHT = 640, 480
OBJECTS_PER_IMAGE = 7  # as in COCO's val2017
GROUND_TRUTH, DETECTIONS = "ground_truth.json", "detections.npz"


class Measurement(NamedTuple):
    """Seconds, the highest memory of the process in GB, and all numbers that the back end computed."""

    seconds: float
    memory: float
    numbers: np.ndarray


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_arguments(arguments)
    style = STYLES[args.style]
    backends = [choose_backend(name, style.backends) for name in style.backends if name not in args.skip]
    num_classes = args.classes or NUM_CLASSES[args.style]
    max_dets = args.max_dets or style.default_max_dets
    print(f"{args.style} style: {args.images} images, {args.boxes} boxes, {num_classes} classes, max_dets {max_dets}")
    print(f"{'back end':<18}{'seconds':>9}{'ratio':>8}{'GB':>7}  numbers")
    with tempfile.TemporaryDirectory() as folder:
        in_new_process(write_case, folder, args.style, args.images, args.boxes, num_classes, args.seed)
        idle = in_new_process(measure, folder, args.style, None, max_dets)
        print(f"{'none':<18}{'':>17}{idle.memory:>7.2f}")
        first = None
        for backend in backends:
            this = in_new_process(measure, folder, args.style, backend, max_dets)
            first = first or this
            ratio, numbers = this.seconds / first.seconds, compare(this.numbers, first.numbers)
            print(f"{backend:<18}{this.seconds:>9.1f}{ratio:>8.1f}{this.memory:>7.2f}  {numbers}", flush=True)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", choices=STYLES, default="coco")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--boxes", type=int, default=500_000, help="detections in all images together")
    parser.add_argument("--classes", type=int, help=f"default: {NUM_CLASSES}")
    parser.add_argument("--max-dets", type=int, help="detections that count; default: as the style has it")
    parser.add_argument(
        "--skip", nargs="+", default=[], help="back ends to leave out; the first of the rest has ratio 1"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls `function` in a fresh process, so that the highest memory of the process is that of this call."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(folder: str, style: str, backend: str | None, max_dets: int) -> Measurement:
    """Scores the case in `folder`; without a `backend` only loads its detections."""
    detections = DetectionTable(**np.load(Path(folder) / DETECTIONS))
    start = time.perf_counter()
    numbers: list[float] = []
    if backend is not None:
        ground_truth = STYLES[style].backends[backend](str(Path(folder) / GROUND_TRUTH))
        summary, per_category = ground_truth.score(detections, "bbox", max_dets)
        numbers = [value for scores in (summary, per_category) for _, value in sorted(scores.items())]
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Measurement(seconds, memory / 1e9, np.array(numbers))


def compare(numbers: np.ndarray, reference: np.ndarray) -> str:
    """Says whether all numbers have the same bits, or else how far they are apart.

    The number of a class without objects is NaN.
    """
    if np.array_equal(numbers, reference, equal_nan=True):
        return f"{len(numbers)} equal to the last bit"
    return f"{len(numbers)} differ by up to {np.nanmax(np.abs(numbers - reference)):.0e}"


def write_case(folder: str, style: str, num_images: int, num_boxes: int, num_classes: int, seed: int) -> None:
    """Writes a ground truth and detections, of which half lie near an object and most of these have its class."""
    rng = np.random.default_rng(seed)
    objects = random_detections(rng, np.repeat(np.arange(num_images), OBJECTS_PER_IMAGE), num_classes)
    detections = random_detections(rng, np.arange(num_boxes) * num_images // num_boxes, num_classes)
    near = np.flatnonzero(rng.random(num_boxes) < 0.5)
    index = (detections.image_ids[near] - 1) * OBJECTS_PER_IMAGE + rng.integers(OBJECTS_PER_IMAGE, size=len(near))
    sizes = np.tile(objects.boxes_xywh_abs[index, 2:], 2)
    detections.boxes_xywh_abs[near] = objects.boxes_xywh_abs[index] + sizes * rng.normal(0, 0.1, (len(near), 4))
    same_class = rng.random(len(near)) < 0.8
    detections.category_ids[near[same_class]] = objects.category_ids[index[same_class]]
    ground_truth = as_ground_truth(rng, objects, num_images, num_classes, style)
    (Path(folder) / GROUND_TRUTH).write_text(json.dumps(ground_truth))
    np.savez(
        Path(folder) / DETECTIONS, **{name: value for name, value in vars(detections).items() if value is not None}
    )


def random_detections(rng: np.random.Generator, image_index: np.ndarray, num_classes: int) -> DetectionTable:
    """Returns a detection of random size and place for each entry of `image_index`.

    Scores have 1,000 different values, so that many are equal.
    """
    count = len(image_index)
    sizes = np.exp(rng.uniform(np.log(8), np.log(min(WIDTH, HEIGHT)), (count, 2)))
    corners = rng.random((count, 2)) * (np.array([WIDTH, HEIGHT]) - sizes)
    return DetectionTable(
        image_ids=image_index.astype(np.int64) + 1,
        boxes_xywh_abs=np.concatenate([corners, sizes], axis=1).astype(np.float32),
        scores=rng.integers(1, 1001, count).astype(np.float32) / 1000,
        category_ids=rng.integers(1, num_classes + 1, count).astype(np.int32),
    )


def as_ground_truth(
    rng: np.random.Generator, objects: DetectionTable, num_images: int, num_classes: int, style: str
) -> dict[str, Any]:
    """Returns the objects as an annotation file.

    COCO's format marks one object in 100 as a crowd. LVIS's has no crowds; it says of each image which classes are
    known not to be there and which are not annotated completely.
    """
    images = [{"id": i + 1, "width": WIDTH, "height": HEIGHT} for i in range(num_images)]
    categories: list[dict[str, Any]] = [{"id": i + 1, "name": f"class {i + 1}"} for i in range(num_classes)]
    is_crowd = (rng.random(len(objects)) < 0.01).astype(int) if style == "coco" else np.zeros(len(objects), int)
    annotations = objects.to_dicts("bbox")
    for number, annotation in enumerate(annotations):
        area = annotation["bbox"][2] * annotation["bbox"][3]
        annotation.update(id=number + 1, area=area, iscrowd=int(is_crowd[number]))
    if style == "lvis":
        for category in categories:
            category["frequency"] = "rcf"[category["id"] % 3]
        for image in images:
            image["neg_category_ids"] = rng.integers(1, num_classes + 1, 10).tolist()
            image["not_exhaustive_category_ids"] = rng.integers(1, num_classes + 1, 2).tolist()
    return {"images": images, "categories": categories, "annotations": annotations}


if __name__ == "__main__":
    sys.exit(run_tool(main))
