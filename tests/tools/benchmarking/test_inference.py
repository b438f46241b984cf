"""Inference as a worker runs it."""

from pathlib import Path

import pytest
import torch

from tools.benchmarking import inference
from tools.benchmarking.compare import detection_differences
from tools.benchmarking.inference import InferenceJob, InferenceRun
from tools.benchmarking.parts import ProductClock
from tools.benchmarking.setting import Setting

CONFIG = str(Path(__file__).parents[1] / "measured_config.py")
SIZE = (64, 96)
TOKENS = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2  # strides 8, 16, 32, 64


def start(evaluations: int, batch: int = 1, *, cache: bool = True, words: str = "") -> InferenceRun:
    setting = Setting(CONFIG, num_gpus=0).plus(words)
    job = InferenceJob(evaluations, batch, SIZE)
    return job.start(setting.load(), checkpoint=setting.checkpoint, cache=cache)


def products(run: InferenceRun) -> dict[str, float]:
    with ProductClock() as clock:
        run.parts.clock = clock
        run.turn()
        return run.parts.take()


def test_every_stage_and_every_evaluation_is_a_part():
    run = start(3)
    run.turn()
    assert list(run.parts.take()) == [
        "image to features",
        "encoder",
        "proposals",
        "values of memory",
        "sampler",
        "decoder evaluation 1",
        "decoder evaluation 2",
        "decoder evaluation 3",
        "postprocess",
    ]
    assert run.notes == []


def test_turns_repeat_each_other_and_differ_between_the_images_of_a_batch():
    run = start(2, batch=2)
    run.turn()
    first = run.outputs
    run.outputs = None
    run.turn()
    assert run.outputs == first and len(first) == 2 and first[0] != first[1]


def test_random_weights_detect_boxes_that_depend_on_the_decoder():
    run, other = start(1), start(1)
    with torch.no_grad():
        other.model.transformer.decoder.layers[0].ffns[0].layers[1].weight.mul_(2)
    for each in (run, other):
        each.turn()
    assert not detection_differences(run.outputs, other.outputs)["equal"]


def test_without_the_cache_each_evaluation_projects_memory_and_detections_stay():
    cached, uncached = start(3), start(3, cache=False)
    for each in (cached, uncached):
        each.turn()
        each.parts.take()
    assert detection_differences(cached.outputs, uncached.outputs)["max_pixels"] == 0
    with_cache, without = products(cached), products(uncached)
    values = 2 * TOKENS * 256 * 256  # two decoder layers
    assert with_cache["values of memory"] == values and "values of memory" not in without
    for number in (1, 2, 3):
        name = f"decoder evaluation {number}"
        assert without[name] - with_cache[name] == values


def test_a_model_that_projects_no_memory_has_no_cache_to_turn_off(monkeypatch):
    monkeypatch.setattr(inference, "new_model", lambda *_: torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="cache=off: Linear projects no memory to values"):
        start(1, cache=False)


def test_evaluation_runs_under_autocast_where_the_config_says_so():
    plain, cast = start(1), start(1, words="train.amp.evaluate=True")
    for each in (plain, cast):
        each.turn()
    assert (plain.dtype, cast.dtype) == (torch.float32, torch.bfloat16)
    assert plain.outputs != cast.outputs


def test_a_checkpoint_is_loaded(tmp_path):
    trained = start(1)
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter.mul_(1.01)
    torch.save({"model": trained.model.state_dict()}, tmp_path / "model.pth")
    trained.turn()
    words = f"train.init_checkpoint={tmp_path / 'model.pth'} train.model_ema.enabled=False"
    loaded = start(1, words=words)
    loaded.turn()
    assert detection_differences(trained.outputs, loaded.outputs)["max_pixels"] == 0
    with pytest.raises(ValueError, match="no such file"):
        start(1, words="train.init_checkpoint=nowhere.pth")
