"""Detections saved as an evaluation saves them, on images that lie in a folder."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from datasets_utils import CocoStyleEvaluator, LvisStyleEvaluator
from tests.datasets_utils.evaluation import evaluation_case as case


def write_case(folder: Path, *, lvis: bool = False, masks: bool = False, detections: bool = True) -> Path:
    """Writes `val.json`, `images` and a run folder with `detections.npz`, which it returns."""
    truth = case.ground_truth(lvis=lvis)
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for image in truth["images"]:
        pixels = rng.integers(0, 255, (case.HEIGHT // 8, case.WIDTH // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((case.WIDTH, case.HEIGHT)).save(folder / "images" / image["file_name"])
    run = folder / "run"
    run.mkdir()
    with case.registered(folder, truth, name="val") as name:
        case.MetadataCatalog.get(name).image_root = str(folder / "images")
        evaluator = (LvisStyleEvaluator if lvis else CocoStyleEvaluator)(name)
        evaluator.reset()
        for inputs, outputs in case.predictions(masks=masks):
            kept = outputs["instances"] if detections else outputs["instances"][:0]
            evaluator.process([inputs], [{"instances": kept}])
        evaluator.evaluate()
        facts = {"checkpoint": "model.pth", "cost": {"parameters": "3.5 million"}}
        evaluator.saved_detections(facts).save(run / "detections.npz")
    return run


def add_wrong_labels(folder: Path) -> None:
    """Gives the first object another class, so that the annotations of `write_case` contradict its detections."""
    path = folder / "val.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"][:6]:
        annotation["category_id"] = 3 if annotation["category_id"] != 3 else 5
    path.write_text(json.dumps(content))
