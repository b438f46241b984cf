"""Checkpoints of a run. They are written atomically, and a run continues exactly from one; old ones are deleted."""

import glob
import os
import re
import shutil
import tempfile
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import nn

from .rng import rng_state

POINTER = "last_checkpoint"
PERIODIC = re.compile(r"model_\d{7,}\.pth")
RUN_FILES = (
    "model_*.pth",
    "model_final",
    "model_best",
    POINTER,
    "metrics.json",
    "results.json",
    "config.yaml",
    "log.txt*",
    "events.out.tfevents.*",
)


def atomic_save(state: dict[str, Any], path: str) -> None:
    """``torch.save`` that leaves at ``path`` either the old file or the whole new one, whatever happens."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp lets nobody but the owner read the file
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)  # the rename is on the disk only after this
    finally:
        os.close(folder_handle)


def atomic_write(text: str, path: str) -> None:
    """Write a small text file atomically: at `path` lies either the old file or the whole new one."""
    temporary = f"{path}.{os.getpid()}.part"
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class RunCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer with atomic files and the random streams of every rank.

    Args:
        model: the model, possibly inside DistributedDataParallel.
        save_dir: the run's output folder.
        max_to_keep: how many of the newest periodic checkpoints are kept; None keeps all.
        extra: plain values that every checkpoint carries.
        checkpointables: name -> object with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str,
        *,
        max_to_keep: int | None = None,
        extra: dict[str, Any] | None = None,
        **checkpointables: Any,
    ) -> None:
        super().__init__(model, save_dir, **checkpointables)
        self.max_to_keep = max_to_keep
        self.extra = extra or {}

    def save(self, name: str, **extra: Any) -> None:
        """Write ``name.pth``, then make ``last_checkpoint`` name it, then delete old checkpoints. All ranks call this
        together."""
        streams = comm.gather(rng_state())
        if not self.save_to_disk:
            return
        state = {"model": self.model.state_dict()}
        state.update((key, thing.state_dict()) for key, thing in self.checkpointables.items())
        state.update(self.extra, rng_streams=streams, **extra)
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info(f"Saving checkpoint to {path}")
        atomic_save(state, path)
        self.tag_last_checkpoint(f"{name}.pth")
        self._prune()

    def save_weights(self, name: str, **extra: Any) -> None:
        """Write ``name.pth`` with only the weights and their average; ``last_checkpoint`` does not change."""
        if not self.save_to_disk:
            return
        state: dict[str, Any] = {"model": self.model.state_dict(), **self.extra, **extra}
        if "ema_state" in self.checkpointables:
            state["ema_state"] = self.checkpointables["ema_state"].state_dict()
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info(f"Saving weights to {path}")
        atomic_save(state, path)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Make ``last_checkpoint`` name a file of ``save_dir``. The change is atomic."""
        atomic_write(last_filename_basename, os.path.join(self.save_dir, POINTER))

    def restore(self, state: dict[str, Any]) -> dict[str, Any]:
        """Load a checkpoint, as :func:`load_last` returns it, into the model and every checkpointable.

        Returns:
            The rest of the checkpoint: extras and ``rng_streams``.

        Raises:
            ValueError: the checkpoint lacks a checkpointable of this run, such as ``ema_state``.
        """
        missing = [key for key in self.checkpointables if key not in state]
        if missing:
            raise ValueError(f"the checkpoint of {self.save_dir} lacks {', '.join(missing)}; it holds {sorted(state)}")
        rest = dict(state)
        self.model.load_state_dict(rest.pop("model"))
        for key, thing in self.checkpointables.items():
            thing.load_state_dict(rest.pop(key))
        return rest

    def _prune(self) -> None:
        files = sorted(f for f in os.listdir(self.save_dir) if PERIODIC.fullmatch(f))
        if self.max_to_keep is not None:
            for name in files[: -self.max_to_keep]:
                os.remove(os.path.join(self.save_dir, name))


def load_last(output_dir: str) -> dict[str, Any] | None:
    """The checkpoint that ``last_checkpoint`` names, on the CPU; None where the folder has none.

    Raises:
        ValueError: the pointer names a file that is not there, on any rank.
    """
    path = last_checkpoint(output_dir)
    found = comm.all_gather(path)
    if all(p is None for p in found):
        return None
    if path is None or None in found or not os.path.isfile(path):
        raise ValueError(f"--resume: rank {comm.get_rank()} cannot read the checkpoint {path or found[0]}")
    return torch.load(path, map_location="cpu", weights_only=True)


def last_checkpoint(output_dir: str) -> str | None:
    """Path of the newest checkpoint of a run, or None."""
    pointer = os.path.join(output_dir, POINTER)
    if not os.path.isfile(pointer):
        return None
    with open(pointer) as file:
        return os.path.join(output_dir, file.read().strip())


def claim_output_dir(output_dir: str, *, start_over: bool) -> None:
    """Make ``output_dir`` ready for a new run. All ranks call this together.

    Raises:
        ValueError: it holds checkpoints and ``start_over`` is False; nothing is touched then.
    """
    held = sorted(os.path.basename(p) for p in glob.glob(os.path.join(glob.escape(output_dir), "model_*.pth")))
    held = comm.all_gather(held)[0]
    if held and not start_over:
        raise ValueError(
            f"train.output_dir {output_dir!r} holds the checkpoints of another run ({', '.join(held[:4])}"
            f"{', ...' if len(held) > 4 else ''}): continue it with --resume, choose another train.output_dir, or "
            "move it aside with train.start_over=True"
        )
    if comm.is_main_process():
        os.makedirs(output_dir, exist_ok=True)
        if held:
            _move_aside(output_dir)
    comm.synchronize()


def _move_aside(output_dir: str) -> None:
    number = 1
    while os.path.exists(os.path.join(output_dir, f"previous_{number}")):
        number += 1
    target = os.path.join(output_dir, f"previous_{number}")
    os.makedirs(target)
    for pattern in RUN_FILES:
        for path in glob.glob(os.path.join(glob.escape(output_dir), pattern)):
            shutil.move(path, target)
