"""tools/benchmark.py from its arguments to what it prints and writes. No time is asserted."""

import contextlib
import io
import json
import os
from pathlib import Path

import pytest

from tools.benchmark import argument_parser, jobs_of, main
from tools.benchmarking.setting import Setting
from tools.measuring.measure import parse_arguments

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(Path(__file__).with_name("measured_config.py"))
DINO = str(ROOT / "projects/diffu_dino/configs/dino-resnet/baseline-dino-r50-4scales-12ep.py")


def run(mode: str, *arguments: str) -> tuple[dict, str]:
    """What tools/benchmark.py returns and prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = main([mode, "--config-file", CONFIG, "--num-gpus", "0", "--repeats", "2", *arguments])
    return result, printed.getvalue()


@pytest.fixture(scope="module")
def against_plain(tmp_path_factory) -> tuple[dict, str, Path]:
    """Inference against the pure PyTorch op with caching off, and the file written."""
    path = tmp_path_factory.mktemp("benchmark") / "inference.json"
    words = "DIFFU_DETR_DEFORM_ATTN=pytorch cache=off"
    result, text = run("inference", "--steps", "2", "--size", "64", "96", "--json", str(path), "--compare", words)
    return result, text, path


@pytest.fixture(scope="module")
def against_itself() -> tuple[dict, str]:
    """A training step against the same setting."""
    return run("train", "--sizes", "64x96", "96x64", "--objects", "3", "--compare", "cache=on")


def test_op_and_cache_change_time_but_not_detections(against_plain):
    (measured,) = against_plain[0]["measured"]
    outputs = measured["contrast"]["outputs"]
    assert outputs["detections"] == 100 and outputs["unpaired"] == 0
    assert outputs["equal"] and outputs["max_pixels"] < 1e-3
    assert measured["environment"]["B"]["deformable_attention"] == "pytorch"
    parts = [set(measured["results"][name]["parts"]) for name in "AB"]
    assert parts[0] - parts[1] == {"values of memory"} and not parts[1] - parts[0]


def test_every_turn_of_both_settings_is_written(against_plain):
    result, _, path = against_plain
    written = json.loads(path.read_text())
    assert written == json.loads(json.dumps(result))
    assert written["settings"]["B"]["cache"] is False and written["settings"]["A"]["cache"] is True
    (measured,) = written["measured"]
    for name in "AB":
        assert len(measured["results"][name]["total"]["seconds"]) == 2
        assert measured["results"][name]["memory"]["peak"] > 0
        assert {"torch", "threads", "device", "deformable_attention"} <= measured["environment"][name].keys()
    assert measured["contrast"]["total"]["ratio"] > 0 and measured["rate"]["best"] > 0


def test_the_table_names_parts_ratios_and_the_floor(against_plain):
    text = against_plain[1]
    assert "inference, 2 decoder evaluations, batch 1, 64x96" in text
    assert "B: A with DIFFU_DETR_DEFORM_ATTN=pytorch cache=off" in text
    for word in ("encoder", "decoder evaluation 2", "postprocess", "A/B", "x of the floor", "detections equal"):
        assert word in text


def test_a_setting_trains_as_it_does_itself(against_itself):
    (measured,) = against_itself[0]["measured"]
    outputs = measured["contrast"]["outputs"]
    assert outputs["equal"] and outputs["max_abs"] == 0
    assert {"loss_class", "loss_bbox_0", "loss_giou_dn", "total_loss"} <= outputs["by_name"].keys()
    assert measured["contrast"]["total"]["paired"]["median"] > 0


def test_a_training_step_is_split(against_itself):
    result, text = against_itself
    (measured,) = result["measured"]
    assert {"forward", "matching", "loss", "backward", "clip and optimizer"} <= measured["results"]["A"]["parts"].keys()
    assert measured["data"] > 0 and "data: " in text
    assert "training step, batch 2 (64x96 96x64), 3 objects an image" in text


def test_one_setting_alone_with_a_variable_that_stays_its_own(monkeypatch):
    monkeypatch.delenv("DIFFU_DETR_DEFORM_ATTN", raising=False)
    words = ("model.num_queries=10", "DIFFU_DETR_DEFORM_ATTN=pytorch")
    result, text = run("inference", "--steps", "1", "--size", "64", "64", *words)
    (measured,) = result["measured"]
    assert list(measured["results"]) == ["A"] and "contrast" not in measured
    assert measured["environment"]["A"]["deformable_attention"] == "pytorch"
    assert "DIFFU_DETR_DEFORM_ATTN" not in os.environ
    assert f"A: {' '.join(words)}" in text and "A/B" not in text


def jobs(*arguments: str) -> list[str]:
    args = parse_arguments(argument_parser(), arguments)
    return [str(job) for job in jobs_of(args, Setting(args.config_file, num_gpus=0))]


def test_each_batch_size_and_number_of_evaluations_is_a_job():
    assert jobs(
        "inference", "--config-file", CONFIG, "--batch", "1", "4", "--steps", "1", "3", "--size", "64", "96"
    ) == [
        "inference, 1 decoder evaluation, batch 1, 64x96",
        "inference, 3 decoder evaluations, batch 1, 64x96",
        "inference, 1 decoder evaluation, batch 4, 64x96",
        "inference, 3 decoder evaluations, batch 4, 64x96",
    ]


def test_a_baseline_has_one_job():
    assert jobs("inference", "--config-file", DINO) == ["inference, 1 decoder evaluation, batch 1, 800x1333"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inference", "--compare", "faster"), "'faster' is not of the form key=value"),
        (("inference", "--compare", "cache=no"), "cache is 'no'; allowed are on, off"),
        (("inference", "--compare", "modell.num_queries=3"), "there is no 'modell'"),
        (("inference", "DIFFU_DETR_CACHE=off"), "there is no variable DIFFU_DETR_CACHE"),
        (("inference", "--steps", "100"), "--steps 100: 100 timesteps allow 1 to 99"),
        (("inference", "--batch", "1", "0"), "--batch 1 0: at least 1"),
        (("inference", "--size", "20", "64"), "image size 20x64: both sides"),
        (("inference", "--repeats", "0"), "--repeats 0: at least 1"),
        (("inference", "--warmup", "-1"), "--warmup -1: at least 0"),
        (("train", "--sizes", "480*640"), "image size '480\\*640' is not of the form HEIGHTxWIDTH"),
        (("train", "--objects", "-1"), "--objects -1: at least 0"),
    ],
)
def test_mistakes_are_named_before_anything_runs(arguments, message):
    mode, *rest = arguments
    with pytest.raises(SystemExit, match=message):
        main([mode, "--config-file", CONFIG, "--num-gpus", "0", *rest])
