"""The forward pass of training, as the trainer and the replay of a saved batch run it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def forward_losses(model: nn.Module, part: Sequence[Any], amp_dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Compute the losses of a part of a batch, under autocast to ``amp_dtype`` unless that is None."""
    device_type = next(model.parameters()).device.type
    with torch.autocast(device_type, dtype=amp_dtype, enabled=amp_dtype is not None):
        return model(part)


def split_batch(batch: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    """Cut a batch into ``parts`` lists of equal length, in order.

    Raises:
        ValueError: ``parts`` does not divide the length of the batch.
    """
    if parts == 1:
        return [batch]
    if len(batch) % parts:
        raise ValueError(
            f"train.accumulation_steps is {parts}, which does not divide the {len(batch)} images of one process"
        )
    size = len(batch) // parts
    return [batch[i : i + size] for i in range(0, len(batch), size)]
