"""DDIM sampling of boxes: one step, and the loop. Nothing here knows a network, an image or a class.

A model gives the sampler its network as a function, `denoise(queries, t) -> PassPrediction`. The sampler treats each
image of a batch by itself, so that an image gets what it would get alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from layers_diffu_detr.ldm.diffusion import Draw, GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.ensemble import AllPasses, Ensemble
from layers_diffu_detr.ldm.passes import Denoise, DenoisingPass, QueryBoxes
from layers_diffu_detr.ldm.renewal import Renewal
from layers_diffu_detr.ldm.starts import GaussianStart, ProposalStart, Start
from layers_diffu_detr.ldm.times import ddim_times, listed_times


class Update(Protocol):
    """A sampler's step: from x_t and the boxes that the network predicted, to x at the next time."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: Draw
    ) -> Tensor:
        """Make a step.

        Args:
            diffusion: the forward process.
            x_t: (B, Q, 4), the signal at time t.
            boxes_start: (B, Q, 4), the boxes that the network predicted from x_t.
            t, t_next: the time of x_t and that of the result; t_next = -1 stands for boxes without noise (ā = 1).
            draw: returns noise.

        Returns:
            The signal (B, Q, 4) at t_next.
        """
        ...


class DDIMUpdate:
    """The DDIM step (Song et al. 2021, eq. 12), with x_start clipped to the signal's range.

    Args:
        eta: how much new noise a step adds: 0 adds none, 1 as much as DDPM.

    Raises:
        ValueError: eta is not in [0, 1].
    """

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is {eta}; it must lie in [0, 1]")
        self.eta = eta

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: Draw
    ) -> Tensor:
        """See `Update`."""
        x_start = diffusion.boxes_to_signal(boxes_start)
        eps = diffusion.predict_noise(x_t, torch.full((len(x_t),), t, device=x_t.device), x_start)
        a_t = diffusion.alphas_cumprod[t]
        a_next = diffusion.alphas_cumprod[t_next] if t_next >= 0 else torch.ones_like(a_t)
        sigma = self.eta * ((1 - a_t / a_next) * (1 - a_next) / (1 - a_t)).sqrt()
        remainder = (1 - a_next - sigma**2).clamp(min=0)  # with eta = 1 and a_t near 0, rounding makes it negative
        x_next = a_next.sqrt() * self.direction(x_start, boxes_start) + remainder.sqrt() * eps
        return x_next + sigma * draw() if self.eta > 0 else x_next

    def direction(self, x_start: Tensor, boxes_start: Tensor) -> Tensor:
        """What the step multiplies with sqrt(ā_next): the signal x_start."""
        return x_start


class ReleasedUpdate(DDIMUpdate):
    """The step in the code that DiffuDETR's authors released and measured their AP with.

    It makes eps from x_start in the signal's range, as DDIM does, but multiplies sqrt(ā_next) with the boxes in [0, 1].
    """

    def direction(self, x_start: Tensor, boxes_start: Tensor) -> Tensor:
        """The boxes in [0, 1] instead of the signal."""
        return boxes_start


class PredictedBoxes:
    """A step that takes the predicted boxes as they are, for chains that start from proposals instead of noise."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: Draw
    ) -> Tensor:
        """See `Update`."""
        return diffusion.boxes_to_signal(boxes_start)


class FreshNoise:
    """A step that returns new noise, so that no pass builds on the one before it. It serves for comparisons."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: Draw
    ) -> Tensor:
        """See `Update`."""
        return draw()


class Sampler(Protocol):
    """What a model needs of the object in its slot `sampler`.

    Attributes:
        needs_diffusion: whether the sampler denoises; else its single pass gets no timestep.
        start: what the first pass starts from. Only a `ProposalStart` goes without a diffusion.
        num_steps: number of passes.
        seed: makes each image's noise a function of this number and the image's id; None: torch's global generator.
        ensemble: chooses the passes whose detections are pooled.
        merge: merges the pooled detections, see `layers_diffu_detr.postprocess.ClassWiseNMS`; None: all stay.
    """

    needs_diffusion: bool
    start: Start
    num_steps: int
    seed: int | None
    ensemble: Ensemble
    merge: Any

    def run(
        self,
        denoise: Denoise,
        diffusion: GaussianDiffusion | None = None,
        draw: NoiseSource | None = None,
        proposals: Tensor | None = None,
    ) -> list[DenoisingPass]:
        """Run the network and return every pass, first to last.

        Args:
            denoise: the network.
            diffusion: the forward process; None for a sampler that needs none.
            draw: returns noise; None for a sampler that needs none.
            proposals: (B, P, 4) normalized cxcywh, the best first; None for a network without proposals.
        """
        ...


class SinglePass:
    """The sampler of a baseline: one pass, which starts from the network's proposals.

    Args:
        start: chooses among the proposals; None: all of them.
        merge: see `Sampler`.

    Raises:
        ValueError: the start draws noise, or is none of proposals.
    """

    needs_diffusion = False
    num_steps = 1
    seed: int | None = None

    def __init__(self, start: ProposalStart | None = None, merge: Any = None) -> None:
        self.start = start or ProposalStart()
        if not isinstance(self.start, ProposalStart) or self.start.draws:
            raise ValueError(
                f"sampler.start is a {type(self.start).__name__} that draws noise; SinglePass has none and takes "
                "ProposalStart or DistinctProposalStart without noise"
            )
        self.merge = merge
        self.ensemble: Ensemble = AllPasses()

    def run(
        self,
        denoise: Denoise,
        diffusion: GaussianDiffusion | None = None,
        draw: NoiseSource | None = None,
        proposals: Tensor | None = None,
    ) -> list[DenoisingPass]:
        """See `Sampler.run`; neither `diffusion` nor `draw` is used."""
        assert proposals is not None, "a model without diffusion has proposals"
        queries = self.start.choose(proposals)
        return [DenoisingPass(0, queries, denoise(queries, None))]


class DDIMSampler:
    """The sampler of a diffusion model: `num_steps` passes, from noise or from proposals to boxes.

    Args:
        num_steps: number of passes, 1 to T-1.
        update: the step from t to t_next, see `Update`.
        start: what the first pass starts from, see `Start`; None: `GaussianStart`.
        times: the passes' timesteps, largest first, of which the first `num_steps` are used; None: evenly spaced ones.
        renewal: decides which queries go on after a step, see `Renewal`; None: all do.
        stop: (the passes so far) -> which images need no further pass, (B,) bool, see `NothingNew`; None: all images
            have `num_steps` passes.
        ensemble: chooses the passes whose detections are pooled, see `AllPasses`.
        merge, seed: see `Sampler`.
        last_time: where the chain ends, 0 or -1; see `ddim_times`.
    """

    needs_diffusion = True

    def __init__(
        self,
        num_steps: int = 3,
        *,
        update: Update,
        start: Start | None = None,
        times: Sequence[int] | None = None,
        renewal: Renewal | None = None,
        stop: Callable[[list[DenoisingPass]], Tensor] | None = None,
        ensemble: Ensemble | None = None,
        merge: Any = None,
        seed: int | None = None,
        last_time: int = 0,
    ) -> None:
        self.num_steps = num_steps
        self.update = update
        self.start: Start = start or GaussianStart()
        self.times = None if times is None else list(times)
        self.renewal = renewal
        self.stop = stop
        self.ensemble = ensemble or AllPasses()
        self.merge = merge
        self.seed = seed
        self.last_time = last_time

    def run(
        self,
        denoise: Denoise,
        diffusion: GaussianDiffusion | None = None,
        draw: NoiseSource | None = None,
        proposals: Tensor | None = None,
    ) -> list[DenoisingPass]:
        """See `Sampler.run`.

        The method draws noise in this order: for the start, then after each pass, the last one included, first for the
        update (if its eta is above 0, or for `FreshNoise`) and then for a renewal that restarts queries.

        Raises:
            ValueError: `diffusion` or `draw` is missing, or the timesteps do not allow `num_steps`.
        """
        if diffusion is None or draw is None:
            raise ValueError("DDIMSampler denoises: it needs a diffusion and a source of noise, not None")
        passes: list[DenoisingPass] = []
        for _ in self.chain(denoise, diffusion, draw, proposals, passes):
            pass
        return passes

    def chain(
        self,
        denoise: Denoise,
        diffusion: GaussianDiffusion,
        draw: NoiseSource,
        proposals: Tensor | None,
        passes: list[DenoisingPass],
    ) -> Iterator[tuple[QueryBoxes, Tensor]]:
        """Yield what each pass is given, before the network runs: the queries and the timesteps (B,).

        Every pass that has run is appended to `passes`. Arguments and errors are those of `Sampler.run`.
        """
        pairs = self.time_pairs(diffusion.num_timesteps)
        # The start's boxes may lie outside the signal's range; the network gets those of the clamped signal.
        x_t, queries = self.start(pairs[0][0], diffusion=diffusion, draw=draw, proposals=proposals)
        active = None

        def noise() -> Tensor:
            return draw()[:, : x_t.shape[1]]

        for t, t_next in pairs:
            queries = replace(queries, boxes=diffusion.signal_to_boxes(x_t))
            times = torch.full((len(x_t),), t, device=x_t.device)
            yield queries, times
            prediction = denoise(queries, times)
            passes.append(DenoisingPass(t, queries, prediction, active))
            queries = replace(queries, state=prediction.state)
            x_t = self.update(diffusion, x_t, prediction.boxes, t, t_next, draw=noise)
            if self.renewal is not None:
                keep = self.renewal.keep(passes[-1], t_next, diffusion.num_timesteps)
                if self.renewal.restarts:
                    x_t = torch.where(keep[..., None], x_t, noise())
                    if queries.state is not None:
                        queries = replace(queries, state=queries.state * keep[..., None])
                else:
                    queries, rows = queries.only(keep)
                    x_t = x_t.gather(1, rows[..., None].expand(-1, -1, 4))
            if self.stop is not None:
                stopped = self.stop(passes)
                active = ~stopped if active is None else active & ~stopped
                if not active.any():
                    break

    def time_pairs(self, num_timesteps: int) -> list[tuple[int, int]]:
        """The pairs (t, t_next) of the chain.

        Raises:
            ValueError: `times` are fewer than `num_steps`, do not fall, or are not timesteps.
        """
        if self.times is None:
            return ddim_times(num_timesteps, self.num_steps, self.last_time)
        return listed_times(num_timesteps, self.num_steps, self.times, self.last_time)
