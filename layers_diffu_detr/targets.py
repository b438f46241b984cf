"""The ground truth of a batch: a list with a dict per image, or tensors that are padded to one size."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# One image's targets: {"labels": (n,) int64, "boxes": (n, 4) normalized cxcywh}.
Target = dict[str, Tensor]


def pad_targets(targets: list[Target]) -> tuple[Tensor, Tensor, Tensor]:
    """Put the targets of all images into tensors, padded with zeros to N, the largest number of targets.

    Returns:
        Labels (B, N) int64, boxes (B, N, 4), and (B, N) bool, True for targets and False for padding.
    """
    labels = pad_sequence([t["labels"] for t in targets], batch_first=True)
    boxes = pad_sequence([t["boxes"] for t in targets], batch_first=True)
    # A tensor made from the numbers of targets would do too, but copying it to a GPU would wait for the GPU.
    valid = pad_sequence([torch.ones_like(t["labels"], dtype=torch.bool) for t in targets], batch_first=True)
    return labels, boxes, valid


def at_most(targets: list[Target], size: int) -> list[Target]:
    """Limit every image to `size` targets, chosen at random. If no image has more, the list itself is returned."""
    if all(len(t["labels"]) <= size for t in targets):
        return targets
    return [_random_subset(t, size) if len(t["labels"]) > size else t for t in targets]


def _random_subset(target: Target, size: int) -> Target:
    keep = torch.randperm(len(target["labels"]), device=target["labels"].device)[:size]
    return {"labels": target["labels"][keep], "boxes": target["boxes"][keep]}
