import os

import pytest
import torch
from torch import nn

from projects.diffu_base.engine import checkpoint
from projects.diffu_base.engine.checkpoint import (
    RunCheckpointer,
    atomic_save,
    claim_output_dir,
    last_checkpoint,
    load_last,
)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    atomic_save({"a": 1}, str(path))

    def half_written(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.torch, "save", half_written)
    with pytest.raises(OSError, match="disk full"):
        atomic_save({"a": 2}, str(path))
    assert os.listdir(tmp_path) == ["model.pth"]
    assert torch.load(path, weights_only=True) == {"a": 1}


def test_periodic_checkpoints_are_pruned_and_others_kept(tmp_path):
    checkpointer = RunCheckpointer(nn.Linear(1, 1), str(tmp_path), max_to_keep=2)
    checkpointer.save_weights("model_best")
    for iteration in range(4):
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
    checkpointer = RunCheckpointer(nn.Linear(1, 1), str(tmp_path), max_to_keep=2)  # as after a resumption
    checkpointer.save("model_0000004", iteration=4)
    checkpointer.save("model_final", iteration=5)
    assert sorted(os.listdir(tmp_path)) == [
        "last_checkpoint",
        "model_0000003.pth",
        "model_0000004.pth",
        "model_best.pth",
        "model_final.pth",
    ]
    assert load_last(str(tmp_path))["iteration"] == 5


def test_weights_alone_leave_the_pointer(tmp_path):
    checkpointer = RunCheckpointer(nn.Linear(1, 1), str(tmp_path))
    checkpointer.save("model_0000000", iteration=0)
    checkpointer.save_weights("model_best", best={"value": 1.0})
    assert last_checkpoint(str(tmp_path)).endswith("model_0000000.pth")


def test_a_pointer_to_nowhere_is_an_error(tmp_path):
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    with pytest.raises(ValueError, match="model_0000009.pth"):
        load_last(str(tmp_path))


def test_missing_average_is_named(tmp_path):
    RunCheckpointer(nn.Linear(1, 1), str(tmp_path)).save("model_final", iteration=0)
    with pytest.raises(ValueError, match="lacks ema_state"):
        RunCheckpointer(nn.Linear(1, 1), str(tmp_path), ema_state=nn.Linear(1, 1)).restore(load_last(str(tmp_path)))


def test_another_runs_folder_is_refused_untouched_or_moved_aside(tmp_path):
    RunCheckpointer(nn.Linear(1, 1), str(tmp_path)).save("model_final", iteration=0)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ValueError, match=r"model_final.pth.*--resume.*train.start_over=True"):
        claim_output_dir(str(tmp_path), start_over=False)
    assert sorted(os.listdir(tmp_path)) == before
    claim_output_dir(str(tmp_path), start_over=True)
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "previous_1"]
    assert sorted(os.listdir(tmp_path / "previous_1")) == ["last_checkpoint", "metrics.json", "model_final.pth"]
