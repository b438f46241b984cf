"""The queries of a training step."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Queries:
    """What the decoder starts from in training: N queries, of which the last Q are matched with targets.

    Attributes:
        content: (B, N, C).
        boxes: (B, N, 4) normalized cxcywh.
        t: (B,) int64, each image's timestep; None for a baseline.
        positions: (B, N, C); None where the decoder makes them from the boxes.
        valid: (B, N) bool, see `QueryBoxes`; None: all queries count.
        attn_mask: (N, N) bool, True where the row's query must not attend to the column's; None: all may.
        dn_metas: how the denoising queries that come first are laid out, see `DenoisingQueries.metas`; None: there are
            no denoising queries.
    """

    content: Tensor
    boxes: Tensor
    t: Tensor | None
    positions: Tensor | None = None
    valid: Tensor | None = None
    attn_mask: Tensor | None = None
    dn_metas: dict[str, Any] | None = None
