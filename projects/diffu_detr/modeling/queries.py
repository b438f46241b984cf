"""The queries of a training step, and a further group of them that training alone has."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from layers_diffu_detr.ldm.passes import QueryBoxes


@dataclass
class Queries:
    """What the decoder starts from in training: N queries, of which the last Q are matched with targets.

    There are up to three groups: denoising queries, auxiliary queries, and those that inference has too.

    Attributes:
        start: the boxes of the queries that are matched, and their proposals.
        content: (B, N, C).
        boxes: (B, N, 4) normalized cxcywh.
        t: (B,) int64, each image's timestep; None for a baseline.
        positions: (B, N, C); None where the decoder makes them from the boxes.
        valid: (B, N) bool, see `QueryBoxes`; None: all queries count.
        attn_mask: (N, N) bool, True where the row's query must not attend to the column's; None: all may.
        dn_metas: how the denoising queries that come first are laid out, see `DenoisingQueries.metas`; None: there are
            no denoising queries.
        num_auxiliary: the number of auxiliary queries, see `OneToManyQueries`.
    """

    start: QueryBoxes
    content: Tensor
    boxes: Tensor
    t: Tensor | None
    positions: Tensor | None = None
    valid: Tensor | None = None
    attn_mask: Tensor | None = None
    dn_metas: dict[str, Any] | None = None
    num_auxiliary: int = 0

    @property
    def sizes(self) -> list[int]:
        """How many denoising, auxiliary and matched queries there are."""
        denoising = 0 if self.dn_metas is None else self.dn_metas["dn_num"] * self.dn_metas["single_padding"]
        return [denoising, self.num_auxiliary, self.boxes.shape[1] - denoising - self.num_auxiliary]

    def split(self, layers: list[dict[str, Tensor]]) -> list[list[dict[str, Tensor]]]:
        """All layers' predictions (B, N, ...) of the denoising queries, of the auxiliary and of the matched ones."""
        # `Tensor.split` has one gradient for all parts. Slicing would have three, each as large as all parts together.
        parts = [{name: value.split(self.sizes, dim=1) for name, value in layer.items()} for layer in layers]
        return [[{name: value[group] for name, value in layer.items()} for layer in parts] for group in range(3)]


class OneToManyQueries:
    """A further group of queries, all proposals, of which several answer each target.

    One-to-one matching gives the decoder and the encoder few positive examples per image. This group gives them more
    and is thrown away in inference (compare Chen et al. 2023, Group DETR, and Jia et al. 2023, DETRs with Hybrid
    Matching). Its queries see each other alone, and no other query sees them.

    Args:
        matches: how many queries each target is matched with.

    Raises:
        ValueError: matches is below 1.
    """

    def __init__(self, matches: int = 4) -> None:
        if matches < 1:
            raise ValueError(f"auxiliary_queries.matches is {matches}; it must be at least 1")
        self.matches = matches

    def __call__(self, queries: Queries, content: Tensor, boxes: Tensor, positions: Tensor | None) -> Queries:
        """Put the group between the denoising queries and those that inference has.

        Args:
            queries: without auxiliary ones.
            content, boxes, positions: of the proposals, (B, P, C), (B, P, 4) and (B, P, C) or None.
        """
        start, number = queries.sizes[0], boxes.shape[1]

        def insert(values: Tensor, group: Tensor) -> Tensor:
            return torch.cat([values[:, :start], group, values[:, start:]], dim=1)

        valid = queries.valid
        return replace(
            queries,
            content=insert(queries.content, content),
            boxes=insert(queries.boxes, boxes),
            positions=None if queries.positions is None or positions is None else insert(queries.positions, positions),
            valid=None if valid is None else insert(valid, valid.new_ones(boxes.shape[:2])),
            attn_mask=_mask_with_group(queries, start, number),
            num_auxiliary=number,
        )


def _mask_with_group(queries: Queries, start: int, number: int) -> Tensor:
    """The attention mask of `queries` with a group of `number` at `start`, which sees itself alone."""
    total = queries.boxes.shape[1] + number
    place = torch.arange(total, device=queries.boxes.device)
    in_group = (place >= start) & (place < start + number)
    mask = in_group[:, None] != in_group
    if queries.attn_mask is not None:
        others = torch.cat([place[:start], place[start + number :]])
        mask[others[:, None], others] = queries.attn_mask
    return mask


def summed(losses_of_passes: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The losses of several passes, added by name."""
    total: dict[str, Tensor] = {}
    for losses in losses_of_passes:
        for name, loss in losses.items():
            total[name] = total[name] + loss if name in total else loss
    return total


def without_invalid(layer: dict[str, Tensor], valid: Tensor) -> dict[str, Tensor]:
    """A layer's predictions, in which queries that are not `valid` (B, N) have no class and cannot be matched."""
    logits = layer["pred_logits"].masked_fill(~valid[..., None], float("-inf"))
    return {**layer, "pred_logits": logits, "valid": valid}
