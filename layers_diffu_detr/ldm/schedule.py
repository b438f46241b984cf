"""Noise schedules: functions from the number of timesteps T to the betas of the forward process, (T,) float64.

The names follow latent diffusion: `cosine`, `linear`, `sqrt_linear`, `sqrt`.
"""

import math

import torch
from torch import Tensor


def cosine_betas(num_timesteps: int, s: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Betas with which alphas_cumprod(t) is proportional to cos²((t/T + s) / (1 + s) · π/2).

    Nichol & Dhariwal 2021, eq. 17. No beta is above `max_beta`.
    """
    _check_timesteps(num_timesteps)
    time = torch.arange(num_timesteps + 1, dtype=torch.float64) / num_timesteps
    alphas_cumprod = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2
    alphas_cumprod = alphas_cumprod / alphas_cumprod[0]
    return (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(0, max_beta)


def linear_betas(num_timesteps: int, start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """Betas whose square roots are equally spaced from sqrt(start) to sqrt(end)."""
    _check_timesteps(num_timesteps)
    return torch.linspace(start**0.5, end**0.5, num_timesteps, dtype=torch.float64) ** 2


def sqrt_linear_betas(num_timesteps: int, start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """Betas equally spaced from start to end (Ho et al. 2020)."""
    _check_timesteps(num_timesteps)
    return torch.linspace(start, end, num_timesteps, dtype=torch.float64)


def sqrt_betas(num_timesteps: int, start: float = 1e-4, end: float = 2e-2) -> Tensor:
    """Betas that are the square roots of equally spaced values from start to end."""
    return sqrt_linear_betas(num_timesteps, start, end) ** 0.5


def _check_timesteps(num_timesteps: int) -> None:
    if num_timesteps < 1:
        raise ValueError(f"num_timesteps is {num_timesteps}; a schedule needs at least 1")
