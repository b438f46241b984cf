"""DDIM sampling over boxes: the times, one step, and the loop. It knows no network, no image and no class.

The network enters as a callable `denoise(boxes, t) -> Prediction`; everything the loop does is per image, so a batch of
N gives each image what it gives alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from layers_diffu_detr.ldm.diffusion import GaussianDiffusion


class Prediction(NamedTuple):
    """What a denoising pass predicts.

    boxes: (B, Q, 4), normalized cxcywh: x_start as boxes.
    confidence: (B, Q) in [0, 1], each query's best class score: what renewal looks at.
    outputs: whatever else travels with the predictions; the sampler never looks inside.
    """

    boxes: Tensor
    confidence: Tensor
    outputs: Any


@dataclass
class DenoisingPass:
    """One decoder evaluation: at timestep `t` the network saw `boxes` (B, Q, 4) and made `prediction`."""

    t: int
    boxes: Tensor | None
    prediction: Prediction


Denoise = Callable[[Tensor | None, Tensor | None], Prediction]


class NoiseSource:
    """Draws noise of shape (B, Q, 4) for a batch.

    Args:
        diffusion: names the distribution.
        shape: (B, Q, 4).
        device: where the noise is wanted.
        seeds: one seed per image, for draws that do not depend on what else is in the batch (drawn on the CPU, so that
            every device sees the same noise); None draws from torch's global generator of `device`.
    """

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        shape: tuple[int, int, int],
        device: torch.device,
        seeds: list[int] | None = None,
    ):
        self.diffusion, self.shape, self.device = diffusion, shape, device
        self.generators = None if seeds is None else [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self) -> Tensor:
        """Return the next draw, (B, Q, 4) float32."""
        if self.generators is None:
            return self.diffusion.sample_noise(self.shape, self.device)
        cpu = torch.device("cpu")
        draws = [self.diffusion.sample_noise(self.shape[1:], cpu, generator) for generator in self.generators]
        return torch.stack(draws).to(self.device)


def ddim_times(num_timesteps: int, num_steps: int, last: int = 0) -> list[tuple[int, int]]:
    """Pairs (t, t_next) from T-1 down to `last`: 0 for the DETR family, -1 (fully denoised) for DiffusionInst.

    3 steps of T = 100 down to 0 are (99, 66), (66, 33), (33, 0).

    Raises:
        ValueError: num_steps is not a whole number of steps that the timesteps allow.
    """
    available = num_timesteps - 1 - last
    if not isinstance(num_steps, int) or not 1 <= num_steps <= available:
        raise ValueError(f"num_steps is {num_steps!r}; {num_timesteps} timesteps allow 1 to {available}")
    times = torch.linspace(last, num_timesteps - 1, num_steps + 1).int().tolist()[::-1]
    return list(zip(times[:-1], times[1:], strict=True))


class DDIMUpdate:
    """x_t -> x_{t_next} (Song et al. 2021, eq. 12) with x_start clipped to the signal's range.

    Args:
        eta: 0 is deterministic, 1 has DDPM's variance.
    """

    def __init__(self, eta: float = 0.0):
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is {eta}; it must lie in [0, 1]")
        self.eta = eta

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: NoiseSource
    ) -> Tensor:
        """Return x at t_next, (B, Q, 4) in signal space; `t_next` = -1 is the clean end of the chain (ā = 1)."""
        x_start = diffusion.boxes_to_signal(boxes_start)
        eps = diffusion.predict_noise(x_t, torch.full((len(x_t),), t, device=x_t.device), x_start)
        a_t = diffusion.alphas_cumprod[t]
        a_next = diffusion.alphas_cumprod[t_next] if t_next >= 0 else torch.ones_like(a_t)
        sigma = self.eta * ((1 - a_t / a_next) * (1 - a_next) / (1 - a_t)).sqrt()
        remainder = (1 - a_next - sigma**2).clamp(min=0)  # eta = 1 and a_t near 0: below 0 by a rounding error
        x_next = a_next.sqrt() * self.direction(x_start, boxes_start) + remainder.sqrt() * eps
        return x_next + sigma * draw() if self.eta > 0 else x_next

    def direction(self, x_start: Tensor, boxes_start: Tensor) -> Tensor:
        """What sqrt(ā_next) multiplies: the signal x_start."""
        return x_start


class ReleasedUpdate(DDIMUpdate):
    """The update of the released DiffuDETR code, with which its AP was measured.

    eps comes from x_start in the signal's range, but sqrt(ā_next) multiplies the boxes in [0, 1].
    """

    def direction(self, x_start: Tensor, boxes_start: Tensor) -> Tensor:
        return boxes_start


class FreshNoise:
    """Every step starts from new noise: what is left of a sampler whose steps do not build on each other."""

    def __call__(
        self, diffusion: GaussianDiffusion, x_t: Tensor, boxes_start: Tensor, t: int, t_next: int, *, draw: NoiseSource
    ) -> Tensor:
        """Return the next draw, (B, Q, 4) in signal space."""
        return draw()


class TimeRenewal:
    """Renewal threshold that falls with time, t_next / T: 0.66, 0.33, 0 over 3 steps (released DiffuDETR)."""

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        return max(t_next, 0) / num_timesteps


class FixedRenewal:
    """A constant renewal threshold (DiffusionDet, DiffusionInst: 0.5)."""

    def __init__(self, value: float = 0.5):
        if not 0 <= value <= 1:
            raise ValueError(f"renewal threshold is {value}; it must lie in [0, 1]")
        self.value = value

    def threshold(self, t_next: int, num_timesteps: int) -> float:
        return self.value


class AllPasses:
    """Ensemble of every pass: all their detections are pooled."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        return passes


class AllButLastPass:
    """Ensemble of every pass but the last, as the released DiffusionInst pools; a single pass is kept."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        return passes[:-1] or passes


class LastPass:
    """No ensemble: the last pass alone."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        return passes[-1:]


class Sampler(Protocol):
    """What a meta-architecture needs of `model.sampler`.

    `run` returns every pass; `ensemble` chooses those whose detections are pooled, `nms` merges them (None: no NMS).
    `needs_diffusion` tells whether it starts from noise.
    """

    needs_diffusion: bool
    num_steps: int
    seed: int | None
    ensemble: Callable[[list[DenoisingPass]], list[DenoisingPass]]
    nms: Any

    def run(
        self, denoise: Denoise, diffusion: GaussianDiffusion | None, draw: NoiseSource | None
    ) -> list[DenoisingPass]: ...


class SinglePass:
    """One decoder evaluation from the proposals: how the baselines infer."""

    needs_diffusion = False
    num_steps = 1
    seed = None

    def __init__(self, nms: Any = None):
        self.nms = nms
        self.ensemble = AllPasses()

    def run(self, denoise: Denoise, diffusion: None = None, draw: None = None) -> list[DenoisingPass]:
        return [DenoisingPass(0, None, denoise(None, None))]


class DDIMSampler:
    """Denoise boxes from noise in `num_steps` decoder evaluations.

    Args:
        num_steps: decoder evaluations, 1 to T-1.
        update: the step from t to t_next, see `DDIMUpdate`, `ReleasedUpdate` and `FreshNoise`.
        renewal: which queries restart from fresh noise after a step, see `TimeRenewal`; None: none.
        ensemble: which passes' detections are pooled, see `AllPasses`.
        nms: merges pooled detections, see `layers_diffu_detr.postprocess.ClassWiseNMS`; None: no NMS.
        seed: None draws from torch's global generator; a number gives each image noise of its own, from the number and
            the image's id.
        last_time: where the chain ends, 0 or -1; see `ddim_times`.
    """

    needs_diffusion = True

    def __init__(
        self,
        num_steps: int = 3,
        *,
        update: DDIMUpdate | FreshNoise,
        renewal: TimeRenewal | FixedRenewal | None = None,
        ensemble: Callable[[list[DenoisingPass]], list[DenoisingPass]] | None = None,
        nms: Any = None,
        seed: int | None = None,
        last_time: int = 0,
    ):
        self.num_steps = num_steps
        self.update = update
        self.renewal = renewal
        self.ensemble = ensemble or AllPasses()
        self.nms = nms
        self.seed = seed
        self.last_time = last_time

    def run(self, denoise: Denoise, diffusion: GaussianDiffusion, draw: NoiseSource) -> list[DenoisingPass]:
        """Run the chain and return every pass, first to last.

        Draws, in this order: the initial noise, then per step the update's (eta > 0 or `FreshNoise`) and the
        renewal's, also in the last step.
        """
        x_t = draw()  # carried unclamped; the network sees clamped boxes
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
