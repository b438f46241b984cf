"""Noise on boxes that are known already, such as proposals: in units of the image, or of the box itself."""

from typing import Protocol

import torch
from torch import Tensor

from layers_diffu_detr.ldm.diffusion import GaussianDiffusion


class BoxNoise(Protocol):
    """Moves boxes by the noise of a timestep."""

    def __call__(self, boxes: Tensor, t: Tensor, noise: Tensor, diffusion: GaussianDiffusion) -> Tensor:
        """Add noise to boxes.

        Args:
            boxes: (B, Q, 4) normalized cxcywh.
            t: (B,) int64, each image's timestep.
            noise: ε, (B, Q, 4), from N(0, I).
            diffusion: the forward process, whose ā_t says how strong the noise of a timestep is.

        Returns:
            (B, Q, 4) normalized cxcywh in [0, 1].
        """
        ...


class ImageNoise:
    """The forward process itself: the noise is measured in units of the image, whatever the size of the box."""

    def __call__(self, boxes: Tensor, t: Tensor, noise: Tensor, diffusion: GaussianDiffusion) -> Tensor:
        """See `BoxNoise`."""
        return diffusion.signal_to_boxes(diffusion.q_sample(diffusion.boxes_to_signal(boxes), t, noise))


class RelativeNoise:
    """Noise in units of the box: a small box moves less than a large one, as in contrastive denoising (DINO).

    With σ = scale · sqrt(1 - ā_t), a box moves by σ ε half its width and height, and its size is multiplied by e^(σ ε).

    Args:
        scale: σ of noise alone, where ā_t is 0.

    Raises:
        ValueError: scale is negative.
    """

    def __init__(self, scale: float = 0.5) -> None:
        if scale < 0:
            raise ValueError(f"scale of RelativeNoise is {scale}; it must not be negative")
        self.scale = scale

    def __call__(self, boxes: Tensor, t: Tensor, noise: Tensor, diffusion: GaussianDiffusion) -> Tensor:
        """See `BoxNoise`."""
        return self.moved(boxes, diffusion.sqrt_one_minus_alphas_cumprod[t].view(-1, 1, 1) * noise)

    def moved(self, boxes: Tensor, noise: Tensor) -> Tensor:
        """Boxes (..., 4) moved by scale · noise (..., 4) in units of the box, in [0, 1]."""
        distance = self.scale * noise
        centre, size = boxes[..., :2], boxes[..., 2:]
        return torch.cat([centre + distance[..., :2] * size / 2, size * distance[..., 2:].exp()], dim=-1).clamp(0, 1)
