"""How the processes of a run end."""

import argparse

import pytest
import torch.multiprocessing as mp

from projects.diffu_base.commands import train
from tests.projects.diffu_base.engine.runs import arguments


def child(rank: int, args: argparse.Namespace) -> None:
    train.in_one_process(args)


def in_two_processes(main, args: argparse.Namespace) -> None:
    """As a run on two GPUs starts them."""
    assert main is train.in_one_process
    mp.spawn(child, args=(args,), nprocs=2)


@pytest.mark.slow
def test_a_mistake_that_processes_of_the_run_find_ends_in_its_line(monkeypatch, capfd):
    monkeypatch.setattr(train, "run", in_two_processes)
    assert train.start(arguments("train.max_itr=2")) == 2
    error = capfd.readouterr().err
    assert "error: override 'train.max_itr': there is no 'max_itr'" in error and "Traceback" not in error


@pytest.mark.slow
def test_an_internal_error_of_a_process_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "run", in_two_processes)
    with pytest.raises(mp.ProcessRaisedException, match="Traceback"):
        train.start(arguments("model.nan_at=1", f"train.output_dir={tmp_path}"))


def test_a_run_that_succeeds_returns_0(tmp_path):
    assert train.start(arguments("train.max_iter=1", f"train.output_dir={tmp_path}")) == 0
