"""Checkpoint files: what is read, what is refused, and that no code of a file runs."""

import os
import pickle
import subprocess

import numpy as np
import pytest
import torch

from layers_diffu_detr.checkpoint_file import read_checkpoint


class Bomb:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["bomb.pkl", "bomb.pth"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, name):
    witness, path = tmp_path / "witness", tmp_path / name
    content = {"model": {"neck.weight": Bomb(f"touch {witness}")}}
    if name.endswith(".pkl"):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="only tensors, arrays and containers"):
        read_checkpoint(path)
    assert not witness.exists()


@pytest.mark.parametrize("function", [eval, getattr, subprocess.run, np.load, np.asarray])
def test_the_unpickler_admits_no_other_function(tmp_path, function):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": function}))
    with pytest.raises(ValueError, match="it asks for"):
        read_checkpoint(tmp_path / "x.pkl")


def test_broken_and_absent_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "empty.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="empty.pkl"):
        read_checkpoint(tmp_path / "empty.pkl")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list"):
        read_checkpoint(tmp_path / "list.pth")
