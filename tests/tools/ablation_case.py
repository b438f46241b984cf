"""A data set whose ground truth are a tiny model's own detections at one setting, for tests of tools/ablate.py."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.config import instantiate
from detectron2.structures import Instances

from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import build_model
from projects.diffu_base.engine.evaluation import evaluate, model_to_evaluate
from projects.diffu_base.engine.rng import preserved_rng, seed_everything
from tests.support.custom_tree import CATEGORIES, overrides, write_custom_tree
from tools.ablate import main
from tools.measuring.measure import fill_zero_matrices

CONFIG, CONFIG_WITH_MASKS = (
    str(Path(__file__).resolve().parents[1] / "support" / name)
    for name in ("custom_config.py", "custom_inst_config.py")
)
CROWDED_IMAGES = {2, 4}


def config(*opts, file=CONFIG):
    return load_config(file, opts, num_gpus=0)


def save_model(path, *opts, file=CONFIG):
    with preserved_rng():
        seed_everything(2)  # weights with which detections have masks of some size, whatever tests ran before
        model = build_model(config(*opts, file=file).model, "cpu")
    fill_zero_matrices(model)
    torch.save({"model": model.state_dict()}, path)
    return str(path)


@torch.no_grad()
def annotate_with_detections(source, target, cfg):
    """Make the best detections of `cfg` the ground truth: 6 in two images, 2 in the others."""
    model = model_to_evaluate(cfg.model, TrainOptions.of(cfg))
    content = {**json.loads(Path(source).read_text()), "annotations": []}
    for (inputs,) in instantiate(cfg.dataloader.test):
        found = model([inputs])[0]["instances"][: 6 if inputs["image_id"] in CROWDED_IMAGES else 2]
        for i in range(len(found)):
            entry = {"id": len(content["annotations"]) + 1, "image_id": inputs["image_id"]}
            content["annotations"].append(entry | annotation(found[i], halved=bool(i % 2)))
    target.write_text(json.dumps(content))


def annotation(found: Instances, halved: bool) -> dict:
    """One detection in COCO's words; of a mask, if it has one, the upper half alone where `halved`."""
    x, y, x1, y1 = found.pred_boxes.tensor[0].tolist()
    ids = sorted(category["id"] for category in CATEGORIES)
    entry = {"category_id": ids[int(found.pred_classes)], "bbox": [x, y, x1 - x, y1 - y], "iscrowd": 0}
    entry["area"] = (x1 - x) * (y1 - y)
    if found.has("pred_masks"):
        mask = found.pred_masks[0].numpy()
        if halved:
            mask[int((y + y1) / 2) :] = False
        lengths = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
        entry["segmentation"] = {"size": lengths["size"], "counts": lengths["counts"].decode()}
    return entry


class Case:
    """A data set and a model that is good at one setting of its own, two evaluations and seed 0; `run` is the tool."""

    def __init__(self, folder, file=CONFIG):
        self.file, self.paths = file, write_custom_tree(folder, num_train=1, num_val=5)
        opts = [*overrides(self.paths), f"data.mended_dir={folder}"]
        self.checkpoint = save_model(folder / "model.pth", *opts, file=file)
        annotated = folder / "annotated.json"  # a name of its own, since each file is read once in a process
        best = (f"train.init_checkpoint={self.checkpoint}", "model.sampler.num_steps=2", "model.sampler.seed=0")
        annotate_with_detections(self.paths["val_json"], annotated, config(*opts, *best, file=file))
        self.paths["val_json"] = str(annotated)
        self.opts = (*overrides(self.paths), f"data.mended_dir={folder}")

    def run(self, output_dir, *arguments, checkpoint=None, opts=()):
        model = f"tiny={self.file}:{checkpoint or self.checkpoint}"
        where = ("--output-dir", str(output_dir), "--num-gpus", "0", "--latency-images", "2")
        return main(["--model", model, *where, *arguments, *self.opts, *opts]).models["tiny"]

    def evaluate(self, *opts):
        """Metrics by task."""
        cfg = config(*self.opts, f"train.init_checkpoint={self.checkpoint}", *opts, file=self.file)
        return evaluate(model_to_evaluate(cfg.model, TrainOptions.of(cfg)), cfg.dataloader)
