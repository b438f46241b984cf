"""Inference and a training step as a process runs them."""

from pathlib import Path

import pytest
import torch

from tools.benchmarking import runs
from tools.benchmarking.report import difference
from tools.benchmarking.runs import InferenceRun, Run, TrainingRun, finish, take_turn

pytestmark = pytest.mark.slow

CONFIG = str(Path(__file__).parents[1] / "measured_config.py")
SIZES = [(64, 96), (96, 64)]


@pytest.fixture
def start(monkeypatch):
    """Makes this process's run."""

    def make(kind: type[Run], *overrides: str, sizes=SIZES, **arguments: int) -> Run:
        run = kind(CONFIG, list(overrides), 0, sizes, **arguments)
        monkeypatch.setattr(runs, "_runs", [run])
        return run

    return make


def test_inference_detects_the_same_in_every_turn(start):
    start(InferenceRun, evaluations=2)
    (seconds, first), (_, second) = take_turn(), take_turn()
    assert first == second and len(first) == 2 and first[0] != first[1]
    assert {len(detection) for image in first for detection in image} == {6}
    assert {"total", "backbone", "neck", "transformer.encoder", "transformer.decoder", "rest"} <= seconds.keys()
    assert min(seconds.values()) >= 0


def test_products_of_inference_grow_by_decoder_evaluations(start):
    counts = []
    for evaluations in (1, 2, 3):
        start(InferenceRun, evaluations=evaluations)
        counts.append(finish()["products"])
    one, two, three = (count["transformer.decoder"] for count in counts)
    assert three - two == two - one > 0
    assert len({count["transformer.encoder"] for count in counts}) == 1


def test_random_weights_detect_boxes_that_depend_on_the_decoder(start):
    run = start(InferenceRun, evaluations=1)
    _, before = take_turn()
    with torch.no_grad():
        run.model.transformer.decoder.layers[0].ffns[0].layers[1].weight.mul_(2)
    assert "NOT EQUAL" in difference(before, take_turn()[1])


def test_evaluation_runs_under_autocast_where_the_config_says_so(start):
    assert start(InferenceRun, evaluations=1).dtype is None
    _, plain = take_turn()
    assert start(InferenceRun, "train.amp.evaluate=True", evaluations=1).dtype == torch.bfloat16
    assert take_turn()[1] != plain


def test_weights_that_an_override_names_are_loaded(start, tmp_path):
    trained = start(InferenceRun, evaluations=1)
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter.mul_(1.01)
    torch.save({"model": trained.model.state_dict()}, tmp_path / "model.pth")
    _, expected = take_turn()
    start(InferenceRun, f"train.init_checkpoint={tmp_path / 'model.pth'}", evaluations=1)
    assert take_turn()[1] == expected
    with pytest.raises(ValueError, match="nowhere.pth"):
        start(InferenceRun, "train.init_checkpoint=nowhere.pth", evaluations=1)


def test_a_training_step_has_parts_and_changes_the_weights(start):
    run = start(TrainingRun)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    seconds, losses = take_turn()
    parts = {"forward", "forward/backbone", "forward/transformer.decoder", "forward/criterion", "backward"}
    assert parts | {"total", "update of weights", "rest"} <= seconds.keys()
    assert {"loss_class", "loss_bbox_0", "loss_giou_dn"} <= losses.keys()
    assert any(not torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
    assert take_turn()[1] != losses


def test_the_backward_pass_has_about_twice_the_products_of_the_forward_pass(start):
    start(TrainingRun)
    measured = finish()
    products = measured["products"]
    assert products["backward"] == pytest.approx(2 * products["forward"], rel=0.05)
    assert products["total"] == products["forward"] + products["backward"] and products["rest"] == 0
    assert measured["tensors"] > 1e6 and measured["rate"] > 1e8
