"""Saves the batch of a non-finite loss with everything that its forward pass depends on, and runs it again."""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.utils import comm
from torch import nn

from .checkpoint import atomic_save
from .ema import unwrap
from .forward import forward_losses, split_batch
from .rng import preserved_rng, set_rng_state

# The classes that a saved batch may hold besides tensors and plain values. torch.load refuses all others.
BATCH_TYPES = [
    Instances,
    Boxes,
    BoxMode,
    BitMasks,
    PolygonMasks,
    np.ndarray,
    np.dtype,
    np.float64,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    np.dtypes.UInt8DType,
    (np.zeros(1).__reduce__()[0], "numpy.core.multiarray._reconstruct"),
    (np.zeros(1).__reduce__()[0], "numpy._core.multiarray._reconstruct"),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


def save_replay(
    output_dir: str,
    *,
    model: nn.Module,
    batch: Sequence[Any],
    rng: dict[str, Any],
    iteration: int,
    losses: dict[str, float],
) -> str:
    """Write ``nonfinite_iter_XXXXXXX.pth`` (``_rankN`` beyond rank 0) and return its path.

    Args:
        rng: random states from before the forward pass.
        losses: name -> value, as the iteration computed them.
    """
    rank = comm.get_rank()
    name = f"nonfinite_iter_{iteration:07d}{f'_rank{rank}' if rank else ''}.pth"
    path = os.path.join(output_dir, name)
    state = {
        "model": unwrap(model).state_dict(),
        "batch": list(batch),
        "rng": rng,
        "iteration": iteration,
        "losses": losses,
    }
    atomic_save(state, path)
    return path


def replay(
    path: str, model: nn.Module, *, amp_dtype: torch.dtype | None = None, accumulation_steps: int = 1
) -> tuple[dict[str, float], dict[str, float]]:
    """Run a saved batch again, in one process and without an update.

    If the run had several ranks, losses that are divided by a mean over the ranks come out scaled.

    Args:
        path: file from :func:`save_replay`.
        model: the run's architecture; its weights are replaced.
        amp_dtype, accumulation_steps: as the run had them.

    Returns:
        The losses (name -> value) of the replay, and those of the run.

    Raises:
        ValueError: no such file.
    """
    if not os.path.isfile(path):
        raise ValueError(f"--replay {path!r}: no such file")
    with torch.serialization.safe_globals(BATCH_TYPES):
        saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    model.train()
    sums: dict[str, float] = defaultdict(float)
    with preserved_rng():
        set_rng_state(saved["rng"])
        for part in split_batch(saved["batch"], accumulation_steps):
            for name, loss in forward_losses(model, part, amp_dtype).items():
                sums[name] += loss.item() / accumulation_steps
    return dict(sums), saved["losses"]


def show_replay(path: str, model: nn.Module, *, amp_dtype: torch.dtype | None, accumulation_steps: int) -> None:
    """Print the losses of :func:`replay` beside those of the run."""
    losses, before = replay(path, model, amp_dtype=amp_dtype, accumulation_steps=accumulation_steps)
    print(f"{'loss':24} {'replay':>14} {'run':>14}")
    for name in sorted(losses):
        print(f"{name:24} {losses[name]:14.6g} {before.get(name, float('nan')):14.6g}")
