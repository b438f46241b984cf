"""A run that is interrupted and resumed ends in the same bits as one that is not."""

import os
import shutil
import signal

import pytest
import torch

from projects.diffu_base.engine.hooks import StopOnSignal
from tests.projects.diffu_base.engine.runs import assert_same_training_state, load, run
from tests.projects.diffu_base.engine.tiny import TinyDetector

MAX_ITER = 8
RESUME = ("--resume",)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(folder)
    return folder


def interrupt_in_pass(monkeypatch, number: int, action) -> None:
    """Call ``action`` in the training forward pass of iteration ``number``."""
    original = TinyDetector.forward

    def forward(self, batched_inputs):
        if self.training and int(self.passes) == number:
            action()
        return original(self, batched_inputs)

    monkeypatch.setattr(TinyDetector, "forward", forward)


@pytest.mark.parametrize("iteration", range(MAX_ITER))
def test_signal_at_any_iteration(tmp_path, monkeypatch, uninterrupted, iteration):
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    number = signal.SIGTERM if iteration % 2 else signal.SIGINT
    with monkeypatch.context() as patch:
        interrupt_in_pass(patch, iteration, lambda: os.kill(os.getpid(), number))
        if iteration == MAX_ITER - 1:
            run(tmp_path)  # nothing is left to stop
        else:
            with pytest.raises(SystemExit) as stop:
                run(tmp_path)
            assert stop.value.code == 128 + number
            assert load(tmp_path / f"model_{iteration:07d}.pth")["iteration"] == iteration
            assert (tmp_path / "last_checkpoint").read_text() == f"model_{iteration:07d}.pth"
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    torch.rand(5)  # a new process would not be in the old one's random state
    run(tmp_path, flags=RESUME)
    assert_same_training_state(tmp_path / "model_final.pth", uninterrupted / "model_final.pth")
    assert load(tmp_path / "model_best.pth")["best"] == load(uninterrupted / "model_best.pth")["best"]


def test_hard_kill_goes_back_to_the_last_periodic_checkpoint(tmp_path, monkeypatch, uninterrupted):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    with monkeypatch.context() as patch:
        interrupt_in_pass(patch, 5, kill)
        with pytest.raises(Killed):
            run(tmp_path)
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000002.pth"
    run(tmp_path, flags=RESUME)
    assert_same_training_state(tmp_path / "model_final.pth", uninterrupted / "model_final.pth")


def test_float16_and_accumulation_resume_too(tmp_path):
    options = ("train.amp.enabled=True", "train.amp.dtype=float16", "train.accumulation_steps=2", "train.max_iter=5")
    run(tmp_path / "a", *options)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "last_checkpoint").write_text("model_0000002.pth")
    run(tmp_path / "b", *options, flags=RESUME)
    assert_same_training_state(tmp_path / "b" / "model_final.pth", tmp_path / "a" / "model_final.pth")


def test_drawn_seed_is_kept(tmp_path):
    run(tmp_path / "a", "train.seed=-1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "last_checkpoint").write_text("model_0000005.pth")
    run(tmp_path / "b", "train.seed=-1", flags=RESUME)
    assert_same_training_state(tmp_path / "b" / "model_final.pth", tmp_path / "a" / "model_final.pth")


def test_resuming_a_finished_run_only_evaluates(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path / "run")
    results = run(tmp_path / "run", flags=RESUME)
    assert results["bbox"].keys() == {"AP", "AP50"}
    assert_same_training_state(tmp_path / "run" / "model_final.pth", uninterrupted / "model_final.pth")


def test_resuming_nothing_starts(tmp_path, uninterrupted):
    run(tmp_path, flags=RESUME)
    assert_same_training_state(tmp_path / "model_final.pth", uninterrupted / "model_final.pth")


def test_repeated_signals_are_one_but_a_later_ctrl_c_ends_at_once(tmp_path, monkeypatch):
    def press(*numbers):
        return lambda: [os.kill(os.getpid(), number) for number in numbers]

    with monkeypatch.context() as patch:
        interrupt_in_pass(patch, 1, press(signal.SIGINT, signal.SIGTERM, signal.SIGINT))
        with pytest.raises(SystemExit):
            run(tmp_path / "a")
    assert (tmp_path / "a" / "last_checkpoint").read_text() == "model_0000001.pth"
    monkeypatch.setattr(StopOnSignal, "PAUSE", -1.0)
    interrupt_in_pass(monkeypatch, 1, press(signal.SIGINT, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b")
    assert not (tmp_path / "b" / "last_checkpoint").exists()
