"""How much of a large result is worked on at a time where only sums, maxima or bits of it are wanted."""

import torch

# Entries. A CPU is several times as fast where intermediate results stay in its cache, 4 MiB of float32; a GPU wants
# to be filled, which 64 MiB do.
_ENTRIES_CPU = 2**20
_ENTRIES = 2**24


def rows_at_a_time(entries_per_row: int, device: torch.device) -> int:
    """How many rows make a chunk, at least one."""
    return max(1, (_ENTRIES_CPU if device.type == "cpu" else _ENTRIES) // max(1, entries_per_row))
