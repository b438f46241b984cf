"""Every config that trains does: two iterations by tools/train_net.py on its own data set's format, then evaluation."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import MetadataCatalog
from omegaconf import DictConfig

from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes
from datasets_utils.digit_scenes.lvis_format import LvisFormat
from datasets_utils.lvis import register_lvis
from datasets_utils.register import register_digit_scenes
from datasets_utils.v3det import register_v3det
from tests.support import custom_tree
from tests.support.coco_tree import coco_registered, write_coco_tree
from tests.support.lvis_tree import write_lvis_tree
from tests.support.small_runs import small_run, write_small_run
from tests.support.v3det_tree import write_v3det_tree
from tools.train_net import argument_parser, main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUNS = [path for path in sorted(ROOT.glob("projects/*/configs/**/*.py")) if path.parent.name != "models"]
COCO_METRICS = {"AP", "AP50", "AP75", "APs", "APm", "APl"}
AREAS = {"APs", "APm", "APl"}
LVIS_METRICS = COCO_METRICS | {"APr", "APc", "APf"}
METRICS = {
    "coco_2017": COCO_METRICS,
    "lvis_v1": LVIS_METRICS,
    "v3det": COCO_METRICS,
    "custom": COCO_METRICS,
    "digit_scenes": COCO_METRICS,
    "digit_scenes_lvis": LVIS_METRICS,
}


def name(path: Path) -> str:
    return path.relative_to(ROOT / "projects").as_posix()


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory) -> Iterator[None]:
    """Tiny data sets in the place of those that the configs name."""
    root = tmp_path_factory.mktemp("datasets")
    tail = (100, 100, 80, 60, 10, 10, 8, 1, 1, 1)
    sizes = dict(num_train=12, num_val=3, num_digits=(4, 8), seed=1)
    build_digit_scenes(root / "scenes", DigitSceneSettings(**sizes))
    build_digit_scenes(
        root / "scenes_lvis", DigitSceneSettings(**sizes, train_class_weights=tail, lvis=LvisFormat(rare=1, common=5))
    )
    register_digit_scenes(root / "scenes")
    register_digit_scenes(root / "scenes_lvis", lvis=True)
    register_lvis(write_lvis_tree(root / "of_lvis"))
    register_v3det(write_v3det_tree(root / "of_v3det"))
    with coco_registered(write_coco_tree(root / "of_coco")):
        yield
    register_digit_scenes()
    register_digit_scenes(lvis=True)
    register_lvis()
    register_v3det()


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_run_trains_and_evaluates(path: Path, data_sets, tmp_path: Path, monkeypatch):
    if path.stem == "contrastive":
        pytest.importorskip("pytorch_metric_learning")
    monkeypatch.chdir(tmp_path)
    cfg, config = small_run(str(path)), write_small_run(path, tmp_path)
    overrides = [f"{key}={tmp_path}" for key in ("train.output_dir", "dataloader.evaluator.output_dir")]
    if "data" in cfg:  # one's own
        overrides += custom_tree.overrides(
            custom_tree.write_custom_tree(tmp_path / "data", masks="mask_head" in cfg.model)
        )
    results = main(argument_parser().parse_args(["--config-file", str(config), "--num-gpus", "0", *overrides]))
    assert_trained(tmp_path)
    truth = json.loads(Path(MetadataCatalog.get(f"{data_set_of(cfg)}_val").json_file).read_text())
    assert "data" in cfg or cfg.model.num_classes == len(truth["categories"])
    assert_evaluated(tmp_path, truth)
    metrics = METRICS[data_set_of(cfg)]
    assert results.keys() == ({"bbox", "segm"} if "mask_head" in cfg.model else {"bbox"})
    for numbers in results.values():
        assert metrics <= numbers.keys()
        assert all(0 <= numbers[metric] <= 100 for metric in metrics - AREAS)  # an area may have no objects


def data_set_of(cfg: DictConfig) -> str:
    """The name that its splits share."""
    names = cfg.dataloader.train.dataset.names
    return (names if isinstance(names, str) else names.name).removesuffix("_train")


def assert_trained(output_dir: Path) -> None:
    """Two iterations were made, with finite losses, and saved, with finite weights."""
    lines = [json.loads(line) for line in (output_dir / "metrics.json").read_text().splitlines()]
    losses = [value for line in lines for key, value in line.items() if "loss" in key]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1]
    assert all(math.isfinite(loss) for loss in losses) and max(losses) > 0
    checkpoint = torch.load(output_dir / "model_final.pth", weights_only=True)
    assert checkpoint["iteration"] == 1
    assert all(weight.isfinite().all() for weight in checkpoint["model"].values())


def assert_evaluated(output_dir: Path, truth: dict[str, Any]) -> None:
    """Every validation image has detections, of categories that the annotation file `truth` knows."""
    (results,) = output_dir.glob("*_instances_results.json")
    detections = json.loads(results.read_text())
    assert {each["image_id"] for each in detections} == {image["id"] for image in truth["images"]}
    assert {each["category_id"] for each in detections} <= {category["id"] for category in truth["categories"]}
