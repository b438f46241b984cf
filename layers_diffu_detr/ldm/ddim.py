"""DDIM sampling of boxes: the times, one step, and the loop. Nothing here knows a network, an image or a class.

A model gives the sampler its network as a function, `denoise(boxes, t) -> PassPrediction`. The sampler treats each
image of a batch by itself, so that an image gets what it would get alone.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.passes import Denoise, DenoisingPass

# Chooses, from all passes, those whose detections are pooled.
Ensemble = Callable[[list[DenoisingPass]], list[DenoisingPass]]


def ddim_times(num_timesteps: int, num_steps: int, last: int = 0) -> list[tuple[int, int]]:
    """The pairs (t, t_next) of a chain of `num_steps` steps, from T-1 down to `last`.

    For example, 3 steps of T = 100 down to 0 are (99, 66), (66, 33), (33, 0).

    Args:
        num_timesteps: T.
        num_steps: number of pairs.
        last: 0 as in the DETR family, or -1 as in DiffusionDet, which stands for boxes without any noise.

    Raises:
        ValueError: num_steps is not an integer from 1 to the number of timesteps between T-1 and `last`.
    """
    available = num_timesteps - 1 - last
    if not isinstance(num_steps, int) or not 1 <= num_steps <= available:
        raise ValueError(f"num_steps is {num_steps!r}; {num_timesteps} timesteps allow 1 to {available}")
    times = [last + available * i // num_steps for i in range(num_steps, -1, -1)]
    return list(zip(times[:-1], times[1:], strict=True))


class Update(Protocol):
    """A sampler's step: from x_t and the boxes that the network predicted, to x at the next time."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: NoiseSource
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
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: NoiseSource
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


class FreshNoise:
    """A step that returns new noise, so that no pass builds on the one before it. It serves for comparisons."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: NoiseSource
    ) -> Tensor:
        """See `Update`."""
        return draw()


class TimeRenewal:
    """A renewal threshold that falls with time: t_next / T. Over 3 steps it is 0.66, 0.33, 0 (released DiffuDETR)."""

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        """The confidence at or below which a query restarts from noise after the step to `t_next`."""
        return max(t_next, 0) / num_timesteps


class FixedRenewal:
    """A constant renewal threshold (DiffusionDet, DiffusionInst: 0.5).

    Raises:
        ValueError: the value is not in [0, 1].
    """

    def __init__(self, value: float = 0.5) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"renewal threshold is {value}; it must lie in [0, 1]")
        self.value = value

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        """The confidence at or below which a query restarts from noise."""
        return self.value


class AllPasses:
    """The ensemble of all passes."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes


class AllButLastPass:
    """The ensemble of all passes but the last, as in the released DiffusionInst. If there is one pass, it is kept."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes[:-1] or passes


class LastPass:
    """The last pass alone: no ensemble."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes[-1:]


class Sampler(Protocol):
    """What a model needs of the object in its slot `sampler`.

    Attributes:
        needs_diffusion: whether the sampler starts from noise; else it starts from the network's own proposals.
        num_steps: number of passes.
        seed: makes each image's noise a function of this number and the image's id; None: torch's global generator.
        ensemble: chooses the passes whose detections are pooled.
        nms: merges the pooled detections, see `layers_diffu_detr.postprocess.ClassWiseNMS`; None: no NMS.
    """

    needs_diffusion: bool
    num_steps: int
    seed: int | None
    ensemble: Ensemble
    nms: Any

    def run(
        self, denoise: Denoise, diffusion: GaussianDiffusion | None = None, draw: NoiseSource | None = None
    ) -> list[DenoisingPass]:
        """Run the network and return every pass, first to last.

        Args:
            denoise: the network.
            diffusion: the forward process; None for a sampler that needs none.
            draw: returns noise; None for a sampler that needs none.
        """
        ...


class SinglePass:
    """The sampler of a baseline: one pass, which starts from the network's proposals."""

    needs_diffusion = False
    num_steps = 1
    seed: int | None = None

    def __init__(self, nms: Any = None) -> None:
        self.nms = nms
        self.ensemble: Ensemble = AllPasses()

    def run(
        self, denoise: Denoise, diffusion: GaussianDiffusion | None = None, draw: NoiseSource | None = None
    ) -> list[DenoisingPass]:
        """See `Sampler.run`; neither `diffusion` nor `draw` is used."""
        return [DenoisingPass(0, None, denoise(None, None))]


class DDIMSampler:
    """The sampler of a diffusion model: `num_steps` passes, from noise to boxes.

    Args:
        num_steps: number of passes, 1 to T-1.
        update: the step from t to t_next, see `Update`.
        renewal: decides which queries restart from new noise after a step, see `TimeRenewal`; None: no query does.
        ensemble: chooses the passes whose detections are pooled, see `AllPasses`.
        nms, seed: see `Sampler`.
        last_time: where the chain ends, 0 or -1; see `ddim_times`.
    """

    needs_diffusion = True

    def __init__(
        self,
        num_steps: int = 3,
        *,
        update: Update,
        renewal: TimeRenewal | FixedRenewal | None = None,
        ensemble: Ensemble | None = None,
        nms: Any = None,
        seed: int | None = None,
        last_time: int = 0,
    ) -> None:
        self.num_steps = num_steps
        self.update = update
        self.renewal = renewal
        self.ensemble = ensemble or AllPasses()
        self.nms = nms
        self.seed = seed
        self.last_time = last_time

    def run(
        self, denoise: Denoise, diffusion: GaussianDiffusion | None = None, draw: NoiseSource | None = None
    ) -> list[DenoisingPass]:
        """See `Sampler.run`.

        The method draws noise in this order: for the start, then after each pass, the last one included, first for the
        update (if its eta is above 0, or for `FreshNoise`) and then for the renewal.

        Raises:
            ValueError: `diffusion` or `draw` is missing, or the timesteps do not allow `num_steps`.
        """
        if diffusion is None or draw is None:
            raise ValueError("DDIMSampler starts from noise: it needs a diffusion and a source of noise, not None")
        x_t = draw()  # may lie outside the signal's range; the network gets boxes of the clamped signal
        passes = []
        for t, t_next in ddim_times(diffusion.num_timesteps, self.num_steps, self.last_time):
            boxes = diffusion.signal_to_boxes(x_t)
            prediction = denoise(boxes, torch.full((len(boxes),), t, device=boxes.device))
            passes.append(DenoisingPass(t, boxes, prediction))
            x_t = self.update(diffusion, x_t, prediction.boxes, t, t_next, draw=draw)
            if self.renewal is not None:
                keep = prediction.confidence > self.renewal.threshold(t_next, diffusion.num_timesteps)
                x_t = torch.where(keep[..., None], x_t, draw())
        return passes
