"""Several processes under torchrun, with gloo."""

import argparse
from pathlib import Path

import pytest
import torch

from projects.diffu_base.engine.distributed import check_process_counts, started_by_torchrun
from tests.projects.diffu_base.engine.distributed_run import save_all_gradients
from tests.projects.diffu_base.engine.runs import arguments, assert_same_training_state, load, torchrun

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("distributed_run.py")


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """Folder of one job of two processes, see distributed_run.py; starting processes is what takes time here."""
    folder = tmp_path_factory.mktemp("job")
    done = torchrun(2, SCRIPT, str(folder))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


@pytest.mark.parametrize("model", ["tiny", "dino"])
def test_two_processes_give_the_gradients_of_one(tmp_path, job, model):
    save_all_gradients(tmp_path)
    one, two = load(tmp_path / f"{model}.pth"), load(job / f"{model}.pth")
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    assert sum(bool(grad.any()) for grad in one["grads"].values()) > len(one["grads"]) / 2
    for name, grad in one["grads"].items():
        torch.testing.assert_close(grad, two["grads"][name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_ranks_evaluate_the_buffers_of_rank_0(job):
    for rank in (0, 1):
        torch.testing.assert_close(load(job / f"buffers_{rank}.pth"), torch.ones(2))


def test_signal_to_one_rank_stops_all_after_the_same_iteration(job):
    assert {(job / f"stop_{rank}").read_text() for rank in (0, 1)} == {"143 model_0000002.pth"}


def test_resumed_ranks_end_in_the_same_bits(job):
    assert_same_training_state(job / "parts" / "model_final.pth", job / "whole" / "model_final.pth")


def test_every_rank_draws_its_own_noise(job):
    first, second = load(job / "whole" / "model_final.pth")["rng_streams"]
    assert not torch.equal(first["torch"], second["torch"])


def test_non_finite_loss_of_one_rank_stops_all_and_is_saved_there(job):
    messages = [(job / f"nan_{rank}").read_text() for rank in (0, 1)]
    assert all("not finite at iteration 2" in message and "loss_l2 = nan" in message for message in messages)
    assert [path.name for path in (job / "nan").glob("nonfinite*")] == ["nonfinite_iter_0000002_rank1.pth"]
    assert "--replay" in messages[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_gpus": -1}, "--num-gpus must be 0 or more, got -1"),
        ({"num_gpus": 64}, "--num-gpus is 64, but this machine has .* torchrun"),
        ({"num_machines": 2, "num_gpus": 0}, "--num-machines is 2 without CUDA devices"),
        ({"machine_rank": 1}, r"--machine-rank must lie in \[0, 1\), got 1"),
    ],
)
def test_impossible_process_counts_are_named(settings, message):
    args = argparse.Namespace(**{**vars(arguments()), **settings})
    with pytest.raises(ValueError, match=message):
        check_process_counts(args)


def test_torchrun_is_recognised_by_its_variables():
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    assert started_by_torchrun(dict.fromkeys(names, "1"))
    assert not started_by_torchrun({"RANK": "0", "WORLD_SIZE": "2"})
