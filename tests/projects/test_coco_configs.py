"""DiffuDINO in its full size trains and evaluates on COCO's layout, by command, on a CPU, from another directory.

`test_runs.py` does so with every config, in small.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.coco_tree import write_coco_tree

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "projects" / "diffu_dino" / "configs" / "dino-resnet" / "coco-r50-4scales-50ep.py"

# What a small machine without a network asks for; model, criterion, sampler, optimizer and loaders are the config's.
OVERRIDES = (
    "train.init_checkpoint=",
    "train.max_iter=2",
    "train.seed=0",
    "model.num_queries=100",
    "model.dn_number=10",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.train.mapper.augmentation.1.short_edge_length=[64,96]",
    "dataloader.train.mapper.augmentation_with_crop.1.short_edge_length=[64,80]",
    "dataloader.train.mapper.augmentation_with_crop.2.crop_size=[48,80]",
    "dataloader.train.mapper.augmentation_with_crop.3.short_edge_length=[64,96]",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentation.0.short_edge_length=64",
)


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory) -> Path:
    return write_coco_tree(tmp_path_factory.mktemp("datasets"))


def train_net(*arguments: str, cwd: Path, coco_root: Path) -> None:
    environment = {
        **os.environ,
        "DETECTRON2_DATASETS": str(coco_root),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/train_net.py"), "--config-file", str(CONFIG), "--num-gpus=0", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def average_precisions(output_dir: Path) -> dict[str, float | None]:
    return json.loads((output_dir / "results.json").read_text())["results"]["bbox"]


def predictions(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "coco_instances_results.json").read_text())


def train(*arguments: str, cwd: Path, coco_root: Path) -> Path:
    """Train, evaluate at the end, and return the checkpoint."""
    train_net(
        "train.output_dir=trained",
        "dataloader.evaluator.output_dir=trained",
        *OVERRIDES,
        *arguments,
        cwd=cwd,
        coco_root=coco_root,
    )
    checkpoint = cwd / "trained" / "model_final.pth"
    assert torch.load(checkpoint, weights_only=True, mmap=True)["iteration"] == 1
    return checkpoint


def assert_evaluated(output_dir: Path, coco_root: Path) -> None:
    """Every image has detections, under ids that COCO knows."""
    categories = json.loads((coco_root / "coco/annotations/instances_val2017.json").read_text())["categories"]
    assert {prediction["image_id"] for prediction in predictions(output_dir)} == {1, 2, 3}
    assert {prediction["category_id"] for prediction in predictions(output_dir)} <= {each["id"] for each in categories}
    assert average_precisions(output_dir)["AP"] >= 0


def test_eval_only_repeats_the_evaluation_of_training(tmp_path: Path, coco_root: Path):
    checkpoint = train("model.sampler.seed=0", cwd=tmp_path, coco_root=coco_root)  # equal noise in both evaluations
    train_net(
        "--eval-only",
        *OVERRIDES,
        "model.sampler.seed=0",
        f"train.init_checkpoint={checkpoint}",
        "train.output_dir=evaluated",
        "dataloader.evaluator.output_dir=evaluated",
        cwd=tmp_path,
        coco_root=coco_root,
    )
    checkpoint.unlink()  # half a gigabyte
    trained, evaluated = tmp_path / "trained", tmp_path / "evaluated"
    assert_evaluated(evaluated, coco_root)
    assert average_precisions(trained) == average_precisions(evaluated)
    assert predictions(trained) == predictions(evaluated)
