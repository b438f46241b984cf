"""tools/benchmark.py from its arguments to what it prints. No time is asserted."""

import contextlib
import functools
import io
import os
from pathlib import Path

import pytest

from tools.benchmark import main

pytestmark = pytest.mark.slow

CONFIG = str(Path(__file__).with_name("measured_config.py"))


def run(mode: str, *arguments: str) -> str:
    """What tools/benchmark.py prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([mode, "--config-file", CONFIG, "--num-gpus", "0", "--repeats", "2", *arguments])
    return printed.getvalue()


def test_an_op_changes_time_but_not_detections_and_its_variable_stays_in_its_process(monkeypatch):
    monkeypatch.delenv("DIFFU_DETR_DEFORM_ATTN", raising=False)
    compare = ("--compare", "DIFFU_DETR_DEFORM_ATTN=pytorch")
    text = run("inference", "--steps", "1", "2", "--sizes", "64x96", *compare, "model.num_queries=10")
    assert text.count("== inference, decoder evaluations: ") == 2
    assert text.count("detections equal") == 2
    assert "B: model.num_queries=10, DIFFU_DETR_DEFORM_ATTN=pytorch, device" in text
    assert "deformable_attention pytorch" in text
    for word in ("transformer.encoder", "transformer.decoder", "rest", "A/B", "floor: A's products"):
        assert word in text
    assert "DIFFU_DETR_DEFORM_ATTN" not in os.environ


def test_a_training_step_is_the_same_with_an_unoptimized_loss():
    slot = "model.criterion.class_loss._target_=tools.benchmarking.unoptimized.OneHotVarifocalLoss"
    text = run("train", "--sizes", "64x96", "96x64", "--compare", slot)
    assert "== training step, 64x96 96x64" in text and "losses equal" in text
    for word in ("forward/criterion", "backward", "update of weights", "tensors of a turn"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inference", "--compare", "faster"), "'faster' is not of the form key=value"),
        (("inference", "--compare", "modell.num_queries=3"), "modell"),
        (("inference", "DIFFU_DETR_DEFORM_ATTN=fast"), "DIFFU_DETR_DEFORM_ATTN is 'fast'; allowed are auto"),
        (("inference", "--steps", "100"), "--steps 100: 100 timesteps allow 1 to 99"),
        (("inference", "--sizes", "20x64"), "image size 20x64: both sides"),
        (("inference", "--repeats", "0"), "--repeats 0: at least 1"),
        (("train", "--sizes", "480*640"), "image size '480\\*640' is not of the form HEIGHTxWIDTH"),
    ],
)
def test_mistakes_are_named(arguments, message):
    mode, *rest = arguments
    with pytest.raises(ValueError, match=message):
        main([mode, "--config-file", CONFIG, "--num-gpus", "0", *rest])


def test_a_process_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr("tools.benchmark.take_turn", functools.partial(os._exit, 1))
    with pytest.raises(ValueError, match="process was killed"):
        run("inference", "--steps", "1", "--sizes", "64x64")


def test_a_mistake_that_shows_in_the_process_is_the_users():
    with pytest.raises(ValueError, match="nowhere.pth"):
        run("inference", "--steps", "1", "--sizes", "64x64", "train.init_checkpoint=nowhere.pth")
