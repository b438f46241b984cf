"""Ground truths of a batch as a list of dicts, and as padded tensors."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# One image's targets: {"labels": (n,) int64, "boxes": (n, 4) normalized cxcywh}.
Target = dict[str, Tensor]


def pad_targets(targets: list[Target]) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (B, N), boxes (B, N, 4) and which are real (B, N) bool, N the largest number; zeros elsewhere."""
    labels = pad_sequence([t["labels"] for t in targets], batch_first=True)
    boxes = pad_sequence([t["boxes"] for t in targets], batch_first=True)
    # Not from the counts: a tensor made of numbers on the host would wait for the device.
    valid = pad_sequence([torch.ones_like(t["labels"], dtype=torch.bool) for t in targets], batch_first=True)
    return labels, boxes, valid


def at_most(targets: list[Target], size: int) -> list[Target]:
    """The targets; of images with more than `size`, a random subset. The very list where no image has."""
    if all(len(t["labels"]) <= size for t in targets):
        return targets
    return [_random_subset(t, size) if len(t["labels"]) > size else t for t in targets]


def _random_subset(target: Target, size: int) -> Target:
    keep = torch.randperm(len(target["labels"]), device=target["labels"].device)[:size]
    return {"labels": target["labels"][keep], "boxes": target["boxes"][keep]}
