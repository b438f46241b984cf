"""Our configs in the hands of detrex's own tools/train_net.py. Skipped without detrex."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from detectron2.config import instantiate
from detectron2.engine import default_argument_parser
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from tests.support.coco_tree import coco_registered, write_coco_tree
from tests.support.detrex_checkout import CHECKOUT
from tests.support.golden import fill
from tests.support.small_runs import small_run, write_small_run
from tools import train_net as our_train_net

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
RUNS = [
    "diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py",
    "diffu_detr/configs/baseline-deformable-detr-r50-4scales-50ep.py",
    "diffu_align_detr/configs/coco-r50-4scales-24ep.py",
]
# What detrex reads and this project's configs do not have, see docs/detrex.md.
EVALUATION = ["train.device=cpu", "train.fast_dev_run.enabled=False"]
TRAINING = [
    *EVALUATION,
    "train.model_ema.device=cpu",
    "train.checkpointer=${train.periodic}",
    "train.periodic.period=5000",
    "train.periodic.max_to_keep=5",
]


@pytest.fixture(scope="module")
def detrex_train_net() -> ModuleType:
    spec = importlib.util.spec_from_file_location("detrex_train_net", CHECKOUT / "tools" / "train_net.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory) -> Iterator[Path]:
    root = write_coco_tree(tmp_path_factory.mktemp("datasets"))
    with coco_registered(root):
        yield root


def arguments(config: Path, output_dir: Path, *words: str) -> list[str]:
    outputs = [f"{key}={output_dir}" for key in ("train.output_dir", "dataloader.evaluator.output_dir")]
    return ["--config-file", str(config), *outputs, *words]


def run_detrex(module: ModuleType, *args: str) -> None:
    """detrex's `main`, its training steps told that there is a GPU: they ask for one, yet without AMP use none."""
    step = module.Trainer.run_step

    def run_step(trainer: Any) -> None:
        with patch("torch.cuda.is_available", side_effect=itertools.chain([True], itertools.repeat(False))):
            step(trainer)

    with patch.object(module.Trainer, "run_step", run_step):
        module.main(default_argument_parser().parse_args(args))


def run_ours(*args: str) -> dict[str, Any]:
    return our_train_net.main(our_train_net.argument_parser().parse_args(["--num-gpus", "0", *args]))


def detections(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "coco_instances_results.json").read_text())


def noise(run: str) -> list[str]:
    """What makes two evaluations draw the same noise."""
    return [] if "baseline" in run else ["model.sampler.seed=0"]


@pytest.mark.parametrize("run", RUNS)
def test_evaluation_gives_the_detections_of_our_own(run: str, detrex_train_net, coco_root, tmp_path: Path):
    config, checkpoint = write_small_run(PROJECTS / run, tmp_path), tmp_path / "model.pth"
    torch.save({"model": fill(instantiate(small_run(str(PROJECTS / run)).model), 3).state_dict()}, checkpoint)
    words = [f"train.init_checkpoint={checkpoint}", "train.model_ema.enabled=False", *noise(run)]
    run_detrex(detrex_train_net, "--eval-only", *arguments(config, tmp_path / "theirs", *EVALUATION, *words))
    run_ours("--eval-only", *arguments(config, tmp_path / "ours", *words, "train.channels_last=False"))
    found = detections(tmp_path / "ours")
    assert {each["image_id"] for each in found} == {1, 2, 3} and found == detections(tmp_path / "theirs")


@pytest.mark.parametrize("run", RUNS)
def test_training_saves_weights_and_averages_that_we_evaluate(run: str, detrex_train_net, coco_root, tmp_path: Path):
    config = write_small_run(PROJECTS / run, tmp_path)
    words = ["train.model_ema.enabled=True", "train.model_ema.decay=0.5", *noise(run)]
    run_detrex(detrex_train_net, *arguments(config, tmp_path, *TRAINING, *words))
    metrics = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert {"loss_class", "loss_giou_enc", "loss_bbox_0", "lr"} <= set().union(*metrics)
    checkpoint = torch.load(tmp_path / "model_final.pth", weights_only=False)
    for select, key in (("model", "model"), ("ema", "ema_state")):
        model = instantiate(small_run(str(PROJECTS / run)).model)
        report = load_weights(model, checkpoint, select=select)
        assert not report.initialised
        assert_close(
            {name: checkpoint[key][name] for name, _ in model.named_parameters()}, dict(model.named_parameters())
        )
    # detrex evaluates the averages last.
    evaluated, path = tmp_path / "evaluated", tmp_path / "model_final.pth"
    words = [f"train.init_checkpoint={path}", "train.model_ema.use_ema_weights_for_eval_only=True", *words]
    run_detrex(detrex_train_net, "--eval-only", *arguments(config, evaluated, *EVALUATION, *words))
    assert detections(evaluated) == detections(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the command goes on")
def test_training_by_command_stops_at_its_demand_for_a_gpu_alone(coco_root, tmp_path: Path):
    config = write_small_run(PROJECTS / RUNS[0], tmp_path)
    command = [sys.executable, CHECKOUT / "tools" / "train_net.py", *arguments(config, tmp_path, *TRAINING)]
    environment = {**os.environ, "DETECTRON2_DATASETS": str(coco_root), "PYTHONPATH": str(PROJECTS.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert "Starting training from iteration 0" in done.stdout
    assert done.stderr.rstrip().endswith("CUDA is required for AMP training!")
