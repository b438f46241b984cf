"""The processes in which settings are measured."""

import contextlib
import os
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from tools.benchmarking.inference import InferenceJob
from tools.benchmarking.setting import Setting
from tools.benchmarking.worker import Worker, serve

CONFIG = str(Path(__file__).parents[1] / "measured_config.py")
JOB = InferenceJob(evaluations=1, batch=1, size=(64, 64))


@dataclass(frozen=True)
class Dying:
    """A job that ends its process."""

    code: int

    def start(self, cfg: DictConfig, *, checkpoint: bool, cache: bool) -> None:
        os._exit(self.code)


def served(setting: Setting, job: object, *commands: tuple[str, dict]) -> list[tuple[str, Any]]:
    """What a worker of this process sends in answer to commands that were sent before it started."""
    ours, theirs = Pipe()
    for command in commands:
        ours.send(command)
    serve(theirs, setting, job)
    theirs.close()
    sent = []
    with contextlib.suppress(EOFError):
        while True:
            sent.append(ours.recv())
    return sent


def test_a_mistake_found_while_starting_is_the_users():
    (answer,) = served(Setting(CONFIG, num_gpus=0).plus("train.init_checkpoint=nowhere.pth"), JOB)
    assert answer[0] == "mistake" and "nowhere.pth" in answer[1]


def test_an_error_later_comes_with_its_traceback():
    started, turned, failed = served(Setting(CONFIG, num_gpus=0), JOB, ("turn", {}), ("finish", {"wrong": 1}))
    assert started[0] == turned[0] == "answer"
    assert turned[1]["total"] >= sum(turned[1]["parts"].values()) > 0
    assert failed[0] == "error" and "Traceback" in failed[1] and "wrong" in failed[1]


def test_a_worker_that_dies_is_reported():
    with pytest.raises(RuntimeError, match="ended with exit code 3"), Worker(Setting(CONFIG), Dying(3)) as worker:
        worker.ready()
