"""The forward diffusion of boxes, the map between boxes and the signal that is diffused, and sources of noise."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Generator, Tensor, nn


class Noise(Protocol):
    """Draws noise in signal space."""

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """Draw a float32 tensor.

        Args:
            shape, device: of the tensor.
            generator: lives on `device`; None: torch's global generator of `device`.
        """
        ...


class GaussianNoise:
    """Standard normal noise."""

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """See `Noise`."""
        return torch.randn(shape, device=device, generator=generator)


class SigmoidNoise:
    """Noise within the signal's range, made by a sigmoid: scale · (2 · sigmoid(z) - 1), z ~ N(0, 1)."""

    def __init__(self, scale: float = 2.0) -> None:
        self.scale = scale

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """See `Noise`."""
        return self.scale * (2 * torch.randn(shape, device=device, generator=generator).sigmoid() - 1)


class BetaNoise:
    """Noise within the signal's range: scale · (2 · b - 1), b ~ Beta(2, 2), which is the median of three uniforms."""

    def __init__(self, scale: float = 2.0) -> None:
        self.scale = scale

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """See `Noise`."""
        uniforms = torch.rand((*shape, 3), device=device, generator=generator)
        return self.scale * (2 * uniforms.median(dim=-1).values - 1)


class GaussianDiffusion(nn.Module):
    """The forward process q(x_t | x_0) = N(sqrt(ā_t) x_0, (1 - ā_t) I) (Ho et al. 2020, eq. 4) on boxes.

    What is diffused is the signal: box coordinates, mapped from [0, 1] to [-signal_scale, signal_scale].

    Args:
        betas: (T,) float64, from `ldm.schedule`.
        signal_scale: half the width of the signal's range.
        noise: draws the noise that is added; None: `GaussianNoise`.

    Raises:
        ValueError: signal_scale is not positive.
    """

    alphas_cumprod: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    sqrt_recip_alphas_cumprod: Tensor
    sqrt_recipm1_alphas_cumprod: Tensor

    def __init__(self, betas: Tensor, signal_scale: float = 2.0, noise: Noise | None = None) -> None:
        super().__init__()
        if signal_scale <= 0:
            raise ValueError(f"signal_scale is {signal_scale}; it must be positive")
        self.signal_scale = signal_scale
        self.noise: Noise = noise or GaussianNoise()
        alphas_cumprod = torch.cumprod(1 - betas.double(), dim=0)
        # They are computed in float64 and kept in float32. Checkpoints need not hold them: the config determines them.
        for name, value in {
            "alphas_cumprod": alphas_cumprod,
            "sqrt_alphas_cumprod": alphas_cumprod.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - alphas_cumprod).sqrt(),
            "sqrt_recip_alphas_cumprod": (1 / alphas_cumprod).sqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / alphas_cumprod - 1).sqrt(),
        }.items():
            self.register_buffer(name, value.float(), persistent=False)

    @property
    def num_timesteps(self) -> int:
        """T."""
        return len(self.alphas_cumprod)

    def boxes_to_signal(self, boxes: Tensor) -> Tensor:
        """Map coordinates from [0, 1] to [-signal_scale, signal_scale]; coordinates outside are clamped."""
        return ((2 * boxes - 1) * self.signal_scale).clamp(-self.signal_scale, self.signal_scale)

    def signal_to_boxes(self, signal: Tensor) -> Tensor:
        """Clamp the signal to [-signal_scale, signal_scale] and map it to coordinates in [0, 1]."""
        return (signal.clamp(-self.signal_scale, self.signal_scale) / self.signal_scale + 1) / 2

    def sample_noise(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """Draw noise in signal space, float32; see `Noise`."""
        return self.noise(shape, device, generator)

    def q_sample(self, signal: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Add noise to a signal: x_t = sqrt(ā_t) x_0 + sqrt(1 - ā_t) ε.

        Args:
            signal: x_0, (B, ...).
            t: (B,) int64 in 0…T-1, one timestep per image.
            noise: ε, like `signal`.
        """
        return (
            _at(self.sqrt_alphas_cumprod, t, signal) * signal
            + _at(self.sqrt_one_minus_alphas_cumprod, t, signal) * noise
        )

    def predict_noise(self, x_t: Tensor, t: Tensor, x_start: Tensor) -> Tensor:
        """The noise ε with which `q_sample` makes x_t from x_start: (x_t / sqrt(ā_t) - x_start) / sqrt(1 / ā_t - 1)."""
        return (_at(self.sqrt_recip_alphas_cumprod, t, x_t) * x_t - x_start) / _at(
            self.sqrt_recipm1_alphas_cumprod, t, x_t
        )


# Returns the next noise, (B, Q, 4).
Draw = Callable[[], Tensor]


class NoiseSource:
    """Draws noise of shape (B, Q, 4) for a batch.

    Args:
        diffusion: knows the noise's distribution.
        shape: (B, Q, 4).
        device: where the noise is wanted.
        seeds: one seed per image. Each image's noise then depends on its seed alone, not on the other images of the
            batch and not on the device, since it is drawn on the CPU. None: draw from torch's global generator of
            `device`.
    """

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        shape: tuple[int, int, int],
        device: torch.device,
        seeds: list[int] | None = None,
    ) -> None:
        self.diffusion, self.shape, self.device = diffusion, shape, device
        self.generators = None if seeds is None else [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self) -> Tensor:
        """Return the next noise, (B, Q, 4) float32."""
        if self.generators is None:
            return self.diffusion.sample_noise(self.shape, self.device)
        cpu = torch.device("cpu")
        draws = [self.diffusion.sample_noise(self.shape[1:], cpu, generator) for generator in self.generators]
        return torch.stack(draws).to(self.device)

    def seeds(self) -> list[int]:
        """Draw a number for each image, with which other generators can be seeded."""
        generators = [None] * self.shape[0] if self.generators is None else self.generators
        return [int(torch.randint(2**31, (), generator=generator)) for generator in generators]


def _at(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """The values of `table` at times t (B,), in a shape (B, 1, …) that broadcasts against `like` (B, ...)."""
    return table[t].view(-1, *[1] * (like.dim() - 1))
