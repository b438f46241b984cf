"""Random streams: seeding, and saving and restoring every generator's state exactly."""

import logging
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm

logger = logging.getLogger(__name__)


def resolve_seed(seed: int) -> int:
    """Return ``seed`` or, if it is negative, a random seed. Rank 0 draws it, and all ranks get the same one."""
    if seed >= 0:
        return seed
    drawn = secrets.randbelow(2**31)  # from the operating system, so that no earlier seeding determines it
    return comm.all_gather(drawn)[0]


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """State of every generator of this process, made of tensors, tuples and numbers only."""
    numpy_state: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = numpy_state
    state = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()  # PyTorch has this state on the host: no wait for the GPU
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the states that :func:`rng_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def preserved_rng() -> Iterator[None]:
    """A context that ends by restoring every generator, so that draws inside do not change later draws."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


def stream_of_rank(streams: list[dict[str, Any]]) -> dict[str, Any] | None:
    """This rank's random state; None, with a warning, if the saved run had another number of processes."""
    if len(streams) == comm.get_world_size():
        return streams[comm.get_rank()]
    logger.warning(
        f"the checkpoint is of a run with {len(streams)} processes, this one has {comm.get_world_size()}: "
        "it continues with other random numbers"
    )
    return None
