"""Sizes of the pieces in which to compute a large tensor, if only its sum, maximum or threshold is kept."""

import sys

import torch

from .tracing import is_exporting

# The numbers in a piece: 4 MiB of float32 fit a CPU's cache, where computing is several times as fast. 64 MiB keep all
# of a GPU's cores busy.
_ENTRIES_CPU = 2**20
_ENTRIES = 2**24


def rows_at_a_time(entries_per_row: int, device: torch.device) -> int:
    """The number of rows to compute at a time on `device`, at least one. An exported graph computes all at once."""
    if is_exporting():
        return sys.maxsize
    return max(1, (_ENTRIES_CPU if device.type == "cpu" else _ENTRIES) // max(1, entries_per_row))
