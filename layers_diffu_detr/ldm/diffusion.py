"""The forward diffusion of boxes and the map between boxes and the signal that is diffused."""

import torch
from torch import Generator, Tensor, nn


class GaussianNoise:
    """Standard normal noise in signal space."""

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """Draw a float32 tensor of `shape`; `generator` (default: torch's global one) must live on `device`."""
        return torch.randn(shape, device=device, generator=generator)


class SigmoidNoise:
    """A normal squashed by a sigmoid and stretched to the signal's range: scale · (2 · sigmoid(z) - 1), z ~ N(0, 1)."""

    def __init__(self, scale: float = 2.0):
        self.scale = scale

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        return self.scale * (2 * torch.randn(shape, device=device, generator=generator).sigmoid() - 1)


class BetaNoise:
    """Beta(2, 2) stretched to the signal's range: scale · (2 · b - 1); b is the median of three uniforms."""

    def __init__(self, scale: float = 2.0):
        self.scale = scale

    def __call__(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        uniforms = torch.rand((*shape, 3), device=device, generator=generator)
        return self.scale * (2 * uniforms.median(dim=-1).values - 1)


class GaussianDiffusion(nn.Module):
    """q(x_t | x_0) = N(sqrt(ā_t) x_0, (1 - ā_t) I) over boxes mapped to [-scale, scale] (Ho et al. 2020, eq. 4).

    Args:
        betas: (T,) float64, from `ldm.schedule`.
        signal_scale: half the width of the signal's range.
        noise: draws the corrupting noise; see `GaussianNoise`.
    """

    def __init__(self, betas: Tensor, signal_scale: float = 2.0, noise: GaussianNoise | None = None):
        super().__init__()
        if signal_scale <= 0:
            raise ValueError(f"signal_scale is {signal_scale}; it must be positive")
        self.signal_scale = signal_scale
        self.noise = noise or GaussianNoise()
        alphas_cumprod = torch.cumprod(1 - betas.double(), dim=0)
        # Computed in float64, kept in float32; not persistent, since the config determines them.
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
        return len(self.alphas_cumprod)

    def boxes_to_signal(self, boxes: Tensor) -> Tensor:
        """Normalized boxes in [0, 1] to the signal in [-scale, scale]; boxes outside are clamped."""
        return ((2 * boxes - 1) * self.signal_scale).clamp(-self.signal_scale, self.signal_scale)

    def signal_to_boxes(self, signal: Tensor) -> Tensor:
        """The signal, clamped to [-scale, scale], to normalized boxes in [0, 1]."""
        return (signal.clamp(-self.signal_scale, self.signal_scale) / self.signal_scale + 1) / 2

    def sample_noise(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None = None) -> Tensor:
        """Noise in signal space, float32 of `shape`."""
        return self.noise(shape, device, generator)

    def q_sample(self, signal: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t = sqrt(ā_t) x_0 + sqrt(1 - ā_t) ε.

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
        """ε that leads from x_start to x_t: (x_t / sqrt(ā_t) - x_start) / sqrt(1 / ā_t - 1)."""
        return (_at(self.sqrt_recip_alphas_cumprod, t, x_t) * x_t - x_start) / _at(
            self.sqrt_recipm1_alphas_cumprod, t, x_t
        )


def _at(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """Values of `table` at t, shaped to broadcast against `like`: (B,) -> (B, 1, …)."""
    return table[t].view(-1, *[1] * (like.dim() - 1))
