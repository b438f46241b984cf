"""What a chain starts from: noise, or boxes that the network proposes. Objects for a sampler's slot `start`."""

import math
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from layers_diffu_detr.box_ops import distinct_boxes
from layers_diffu_detr.ldm.box_noise import BoxNoise
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.passes import QueryBoxes


class Start(Protocol):
    """Makes the x_t of a chain's first pass.

    Attributes:
        needs_proposals: whether the start reads the network's proposals.
    """

    needs_proposals: bool

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """Start a chain.

        Args:
            t: the timestep of the first pass.
            diffusion: the forward process.
            draw: returns noise (B, P, 4).
            proposals: (B, P, 4) normalized cxcywh, the best first; None for a network without proposals.

        Returns:
            x_t, the signal (B, Q, 4), which may lie outside its range; and the queries that start there.
        """
        ...


class GaussianStart:
    """Noise, as the forward process draws it (DiffuDETR, DiffusionDet)."""

    needs_proposals = False

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """See `Start`."""
        x_t = draw()
        return x_t, QueryBoxes(diffusion.signal_to_boxes(x_t))


class SobolStart:
    """Normal noise that fills the space evenly: the quantiles of a scrambled Sobol sequence (Owen 1998).

    Each box has the distribution N(0, I), but the boxes of an image keep distance from each other, where independent
    noise leaves gaps and clusters.
    """

    needs_proposals = False

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """See `Start`."""
        _, number, dimensions = draw.shape
        engines = [torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed) for seed in draw.seeds()]
        uniform = torch.stack([engine.draw(number, dtype=torch.float64) for engine in engines])
        inside = uniform.clamp(1e-6, 1 - 1e-6)  # the quantile of 0 is -inf
        x_t = (math.sqrt(2) * torch.erfinv(2 * inside - 1)).float().to(draw.device)
        return x_t, QueryBoxes(diffusion.signal_to_boxes(x_t))


class ProposalStart:
    """All of the network's proposals.

    Args:
        noise: moves the boxes by the noise of the first timestep; None: they start as they are.
    """

    needs_proposals = True

    def __init__(self, noise: BoxNoise | None = None) -> None:
        self.noise = noise

    @property
    def draws(self) -> bool:
        """Whether the start draws noise."""
        return self.noise is not None

    def choose(self, proposals: Tensor) -> QueryBoxes:
        """The queries that start from proposals (B, P, 4) normalized cxcywh, the best first, without noise."""
        return QueryBoxes(proposals)

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """See `Start`.

        Raises:
            ValueError: there are no proposals.
        """
        if proposals is None:
            raise ValueError(f"model.sampler.start is {type(self).__name__}; this model has no proposals to start from")
        queries = self.choose(proposals)
        if self.noise is not None:
            times = torch.full((len(proposals),), t, device=proposals.device)
            noise = draw()[:, : queries.boxes.shape[1]]
            queries = replace(queries, boxes=self.noise(queries.boxes, times, noise, diffusion))
        return diffusion.boxes_to_signal(queries.boxes), queries


class DistinctProposalStart(ProposalStart):
    """Proposals of which no two overlap much, so that each object gets about one query.

    Self-attention then tells duplicates apart by itself, and no NMS is needed after the last pass (compare Zhang et
    al., Dense Distinct Query, CVPR 2023). Images differ in how many such proposals they have. A batch has as many
    queries as its richest image; the others are not valid.

    Args:
        iou_threshold: of two proposals whose IoU is larger, the better one stays.
        most: at most this many proposals are used, the best ones; None: all.
        noise: see `ProposalStart`.

    Raises:
        ValueError: iou_threshold is not in (0, 1], or `most` is below 1.
    """

    def __init__(self, iou_threshold: float = 0.3, most: int | None = None, noise: BoxNoise | None = None) -> None:
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"start.iou_threshold is {iou_threshold}; it must lie in (0, 1]")
        if most is not None and most < 1:
            raise ValueError(f"start.most is {most}; it must be at least 1")
        super().__init__(noise)
        self.iou_threshold = iou_threshold
        self.most = most

    def choose(self, proposals: Tensor) -> QueryBoxes:
        """See `ProposalStart.choose`."""
        distinct = distinct_boxes(proposals, self.iou_threshold)
        queries, _ = QueryBoxes(proposals).only(distinct, self.number(distinct))
        return queries

    def number(self, distinct: Tensor) -> int:
        """The number of queries, if `distinct` (B, P) says which proposals are distinct."""
        richest = int(distinct.sum(1).max())
        return richest if self.most is None else min(self.most, richest)


class FilledProposalStart(DistinctProposalStart):
    """Distinct proposals, and noise in the place of all other proposals. See `DistinctProposalStart`."""

    draws = True

    def number(self, distinct: Tensor) -> int:
        """All proposals have a query, or `most` of them."""
        return distinct.shape[1] if self.most is None else min(self.most, distinct.shape[1])

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """See `Start`."""
        x_t, queries = super().__call__(t, diffusion=diffusion, draw=draw, proposals=proposals)
        assert queries.valid is not None
        x_t = torch.where(queries.valid[..., None], x_t, draw()[:, : x_t.shape[1]])
        return x_t, QueryBoxes(diffusion.signal_to_boxes(x_t), queries.source)
