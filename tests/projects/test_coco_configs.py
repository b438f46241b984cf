"""The COCO configs train and evaluate on data laid out as COCO is, by command, on a CPU, from another directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.coco_tree import write_coco_tree

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "projects" / "diffu_dino" / "configs" / "dino-resnet"

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


def train_net(config: str, *arguments: str, cwd: Path, coco_root: Path) -> None:
    environment = {
        **os.environ,
        "DETECTRON2_DATASETS": str(coco_root),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train_net.py"), "--config-file", str(CONFIGS / config), *arguments],
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


def train(config: str, *arguments: str, cwd: Path, coco_root: Path) -> Path:
    """Train, evaluate at the end, and return the checkpoint."""
    train_net(
        config,
        "--num-gpus=0",
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


def test_trains_and_evaluates_a_deeper_backbone(tmp_path: Path, coco_root: Path):
    train("coco-r101-4scales-12ep.py", cwd=tmp_path, coco_root=coco_root).unlink()  # a gigabyte
    assert_evaluated(tmp_path / "trained", coco_root)


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        ("coco-r50-4scales-50ep.py", ("model.sampler.seed=0",)),  # equal noise in both evaluations
        ("baseline-dino-r50-4scales-12ep.py", ()),
    ],
)
def test_eval_only_repeats_the_evaluation_of_training(
    config: str, arguments: tuple[str, ...], tmp_path: Path, coco_root: Path
):
    checkpoint = train(config, *arguments, cwd=tmp_path, coco_root=coco_root)
    train_net(
        config,
        "--num-gpus=0",
        "--eval-only",
        *OVERRIDES,
        *arguments,
        f"train.init_checkpoint={checkpoint}",
        "train.output_dir=evaluated",
        "dataloader.evaluator.output_dir=evaluated",
        cwd=tmp_path,
        coco_root=coco_root,
    )
    checkpoint.unlink()
    trained, evaluated = tmp_path / "trained", tmp_path / "evaluated"
    assert_evaluated(evaluated, coco_root)
    assert average_precisions(trained) == average_precisions(evaluated)
    assert predictions(trained) == predictions(evaluated)
