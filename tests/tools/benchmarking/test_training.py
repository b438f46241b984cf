"""A training step as a worker runs it."""

from pathlib import Path

import pytest
import torch

from projects.diffu_base.engine.rng import seed_everything
from tools.benchmarking.parts import ProductClock
from tools.benchmarking.setting import Setting
from tools.benchmarking.training import TrainingJob, TrainingRun, with_targets
from tools.measuring.measure import random_images

CONFIG = str(Path(__file__).parents[1] / "measured_config.py")
JOB = TrainingJob(((64, 96), (96, 64)), objects=3)
PARTS = ["forward", "loss", "matching", "backward", "clip and optimizer", "average of weights"]


def start(*words: str) -> TrainingRun:
    setting = Setting(CONFIG, num_gpus=0).plus(words)
    return JOB.start(setting.load(), checkpoint=setting.checkpoint, cache=True)


def test_a_step_is_split_into_its_parts():
    run = start()
    run.turn()
    assert list(run.parts.take()) == PARTS and run.notes == []


def test_without_an_average_there_is_no_such_part():
    run = start("train.model_ema.enabled=False")
    run.turn()
    assert list(run.parts.take()) == PARTS[:-1]


def test_first_losses_are_those_of_the_models_own_forward():
    run, other = start(), start()
    seed_everything(0)
    losses = {name: float(loss.detach()) for name, loss in other.trainer.model(other.trainer.data_loader.batch).items()}
    run.turn()
    assert run.outputs == pytest.approx({**losses, "total_loss": sum(losses.values())}, rel=1e-6)


def test_a_turn_trains_and_keeps_the_first_losses():
    run = start()
    before = [p.detach().clone() for p in run.trainer.model.parameters()]
    run.turn()
    first = dict(run.outputs)
    run.turn()
    assert run.outputs == first and run.trainer.iter == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, run.trainer.model.parameters(), strict=True))


def test_the_backward_pass_has_about_twice_the_products_of_the_forward_pass():
    run = start()
    with ProductClock() as clock:
        run.parts.clock = clock
        run.turn()
        products = run.parts.take()
    assert products["backward"] == pytest.approx(2 * products["forward"], rel=0.05)
    assert products["matching"] == products["loss"] == products["average of weights"] == 0


def test_data_is_timed_where_it_is_there():
    assert start().data_seconds(1) > 0
    run = start("dataloader.train.dataset._target_=detectron2.data.get_detection_dataset_dicts",
                "+dataloader.train.dataset.names=no_such_set")  # fmt: skip
    assert run.data_seconds(1) is None
    assert len(run.notes) == 1 and run.notes[0].startswith("data is not measured: ")


def test_targets_are_boxes_inside_the_image_of_known_classes():
    first, again = (with_targets(random_images(JOB.sizes), 20, num_classes=7, seed=1) for _ in range(2))
    for each, same in zip(first, again, strict=True):
        instances = each["instances"]
        boxes = instances.gt_boxes.tensor
        height, width = instances.image_size
        assert len(boxes) == 20 and (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        assert set(instances.gt_classes.tolist()) <= set(range(7))
        assert torch.equal(boxes, same["instances"].gt_boxes.tensor)
