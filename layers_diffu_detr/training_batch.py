"""What the queries of a training step are made of, and what makes them."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .ldm.diffusion import GaussianDiffusion
from .ldm.passes import Denoise, QueryBoxes
from .targets import Target


@dataclass(frozen=True)
class TrainingBatch:
    """What a training step knows before it has queries.

    Attributes:
        targets: per image `labels` (n,) and `boxes` (n, 4) normalized cxcywh.
        num_queries: Q.
        diffusion: the forward process.
        proposals: (B, P, 4) normalized cxcywh, the best first; None for a network without proposals.
        denoise: the network as the sampler sees it, which computes no gradients; None for a network that trains one
            pass alone.
    """

    targets: list[Target]
    num_queries: int
    diffusion: GaussianDiffusion
    proposals: Tensor | None = None
    denoise: Denoise | None = None


class TrainingStart(Protocol):
    """Makes the boxes that the queries of a training step start from. It fills a model's slot `diffused_queries`."""

    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        """Draw the queries of a batch, and each image's time (B,) int64."""
        ...
