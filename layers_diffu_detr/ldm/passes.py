"""What a sampler and a network hand each other: boxes, predictions, and the passes that hold both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class QueryBoxes:
    """The boxes that the queries of a batch start from.

    Attributes:
        boxes: (B, Q, 4), normalized cxcywh.
        source: (B, Q) int64, the number of the proposal that gives each query its content; None: query i has the
            content of proposal i.
        valid: (B, Q) bool, False where an image has fewer queries than Q; None: all images have Q. What the network
            predicts for a query that is not valid does not count, and other queries must not see it.
        state: (B, Q, C), what the network remembers of each query from the pass before, 0 for queries that restart;
            None: it is the first pass, or the network remembers nothing.
    """

    boxes: Tensor
    source: Tensor | None = None
    valid: Tensor | None = None
    state: Tensor | None = None

    def of_source(self, values: Tensor) -> Tensor:
        """Of `values` (B, P, C), one row per proposal, the rows (B, Q, C) that belong to the queries."""
        if self.source is None:
            return values
        return _at(values, self.source)

    def only(self, keep: Tensor, number: int | None = None) -> tuple["QueryBoxes", Tensor]:
        """The queries that `keep` (B, Q) marks, in their order. Others follow as padding and are not valid.

        Args:
            keep: (B, Q) bool; of each image at least one query stays.
            number: how many queries Q' the result has; None: as many as the image that keeps most.

        Returns:
            The queries, and the number in 0…Q-1 that each of them had, (B, Q') int64.
        """
        number = int(keep.sum(1).max()) if number is None else number
        rows = keep.int().argsort(dim=1, descending=True, stable=True)[:, :number]
        source = rows if self.source is None else self.source.gather(1, rows)
        state = None if self.state is None else _at(self.state, rows)
        return QueryBoxes(_at(self.boxes, rows), source, keep.gather(1, rows), state), rows


def _at(values: Tensor, rows: Tensor) -> Tensor:
    """The `rows` (B, Q) of `values` (B, P, C), as (B, Q, C)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))


class PassPrediction(NamedTuple):
    """What one pass of the network predicts.

    Attributes:
        boxes: (B, Q, 4), normalized cxcywh: the denoised boxes, x_start.
        confidence: (B, Q) in [0, 1], each query's best class score. Renewal decides by it.
        outputs: whatever else the model wants to keep of the pass; the sampler does not read it.
        state: (B, Q, C), what the network wants to be given in the next pass, see `QueryBoxes`; None: nothing.
    """

    boxes: Tensor
    confidence: Tensor
    outputs: Any
    state: Tensor | None = None


@dataclass
class DenoisingPass:
    """One pass of the network: it was given `queries` at timestep `t` and returned `prediction`.

    Attributes:
        t: the timestep; 0 for a network without any.
        queries: what the network was given.
        prediction: what it returned.
        active: (B,) bool, False for images that had stopped before this pass, whose predictions do not count; None: the
            pass counts for all images.
    """

    t: int
    queries: QueryBoxes
    prediction: PassPrediction
    active: Tensor | None = None


# From boxes and timesteps (B,) to a prediction. The timesteps are None for a network without any.
Denoise = Callable[[QueryBoxes, Tensor | None], PassPrediction]
