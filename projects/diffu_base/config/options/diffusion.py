"""The diffusion of boxes: noise, schedule, training boxes."""

from pydantic import Field

from .base import Options
from .kinds import Count, Part, Positive
from .registry import explains


@explains("layers_diffu_detr.ldm.diffusion.GaussianDiffusion")
class GaussianDiffusionOptions(Options):
    """The forward process: it adds noise to boxes, the more, the later the timestep."""

    betas: Part = Field(
        description="How fast the noise grows: `cosine_betas`, `linear_betas`, `sqrt_linear_betas` or `sqrt_betas`."
    )
    signal_scale: Positive = Field(
        2.0,
        description="Before noise is added, box coordinates are scaled from [0, 1] to [-signal_scale, signal_scale]; "
        "a greater scale leaves more of the boxes visible under the same noise.",
    )
    noise: Part | None = Field(
        None, description="What the noise looks like: `GaussianNoise` (null too), `SigmoidNoise` or `BetaNoise`."
    )


class BetasOptions(Options):
    """The options of every noise schedule."""

    num_timesteps: Count = Field(description="Number of timesteps T, from a box almost free of noise to noise alone.")


@explains("layers_diffu_detr.ldm.schedule.cosine_betas")
class CosineBetasOptions(BetasOptions):
    """The cosine schedule (Nichol & Dhariwal 2021): noise grows slowly at both ends."""

    s: Positive = Field(0.008, description="A small offset that keeps the first timesteps from having no noise.")
    max_beta: float = Field(0.999, gt=0, lt=1, description="The most noise that one timestep adds.")


class RangeOfBetasOptions(BetasOptions):
    """The options of schedules that rise from one beta to another."""

    start: float = Field(1e-4, gt=0, lt=1, description="Beta of the first timestep.")
    end: float = Field(2e-2, gt=0, lt=1, description="Beta of the last timestep.")


@explains("layers_diffu_detr.ldm.schedule.linear_betas")
class LinearBetasOptions(RangeOfBetasOptions):
    """Betas whose square roots rise evenly, as in latent diffusion's `linear`."""


@explains("layers_diffu_detr.ldm.schedule.sqrt_linear_betas")
class SqrtLinearBetasOptions(RangeOfBetasOptions):
    """Betas that rise evenly (Ho et al. 2020), latent diffusion's `sqrt_linear`."""


@explains("layers_diffu_detr.ldm.schedule.sqrt_betas")
class SqrtBetasOptions(RangeOfBetasOptions):
    """The square roots of betas that rise evenly, as in latent diffusion's `sqrt`."""


@explains("layers_diffu_detr.ldm.diffusion.GaussianNoise")
class GaussianNoiseOptions(Options):
    """Noise from the standard normal distribution."""


@explains("layers_diffu_detr.ldm.diffusion.SigmoidNoise")
class SigmoidNoiseOptions(Options):
    """Normal noise that a sigmoid bends into the range of the signal."""

    scale: Positive = Field(2.0, description="The noise lies in [-scale, scale].")


@explains("layers_diffu_detr.ldm.diffusion.BetaNoise")
class BetaNoiseOptions(Options):
    """Noise from the distribution Beta(2, 2), stretched to the range of the signal."""

    scale: Positive = Field(2.0, description="The noise lies in [-scale, scale].")


@explains("layers_diffu_detr.denoising.DiffusedQueries")
class DiffusedQueriesOptions(Options):
    """Training boxes: the ground truth and fillers, with noise added."""

    filler: Part = Field(
        description="Boxes for the queries that have no object: `NoisyFiller`, `CentreFiller` or `GaussianFiller`."
    )


@explains("layers_diffu_detr.denoising.NoisyFiller")
class NoisyFillerOptions(Options):
    """Random boxes, the sigmoid of normal noise, as in the released DiffuDETR."""


@explains("layers_diffu_detr.denoising.CentreFiller")
class CentreFillerOptions(Options):
    """One and the same box in the middle of the image, half as wide and high as the image."""


@explains("layers_diffu_detr.denoising.GaussianFiller")
class GaussianFillerOptions(Options):
    """Normally distributed boxes around the middle of the image (DiffusionDet)."""
