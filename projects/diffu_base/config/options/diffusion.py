"""The diffusion of boxes: noise, schedule, training boxes."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from .base import Options, conflict
from .kinds import Count, Natural, NonNegative, Part, Positive
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


@explains("layers_diffu_detr.training_starts.DuplicatedQueries")
class DuplicatedQueriesOptions(DiffusedQueriesOptions):
    """Training boxes as `DiffusedQueries` makes them, but several near each object, as in the passes of a chain."""

    copies: Annotated[list[Count], Field(min_length=2, max_length=2)] = Field(
        [3, 13], description="The fewest and the most boxes of an object; each batch draws a number."
    )
    noise_scale: NonNegative = Field(
        0.2, description="How far the copies lie from their object, as the `scale` of `RelativeNoise`."
    )

    @field_validator("copies")
    @classmethod
    def _check_order(cls, copies: list[int]) -> list[int]:
        if copies[0] > copies[1]:
            raise ValueError("the second number must not be smaller than the first")
        return copies


@explains("layers_diffu_detr.training_starts.ProposalQueries")
class ProposalQueriesOptions(Options):
    """Training boxes are the encoder's proposals, as inference starts from them. Not for DiffusionInst."""

    start: Part = Field(
        description="Which proposals: `DistinctProposalStart` or `ProposalStart`; `${..sampler.start}` takes the "
        "sampler's."
    )
    noise: Part | None = Field(
        None,
        description="Moves the boxes, by a random timestep's noise: `RelativeNoise` or `ImageNoise`; null: they stay.",
    )
    t: Natural = Field(0, description="The timestep that the network is told for boxes that stay.")


@explains("layers_diffu_detr.training_starts.RolledOutQueries")
class RolledOutQueriesOptions(Options):
    """Training boxes are what a chain of passes feeds one of its passes, drawn at random. Not for DiffusionInst."""

    sampler: Part = Field(description="The chain: `DDIMSampler`; `${..sampler}` takes the model's own.")


@explains("layers_diffu_detr.training_starts.MixedQueries")
class MixedQueriesOptions(Options):
    """Training boxes are made in one of several ways; each batch draws one."""

    starts: Annotated[list[Part], Field(min_length=1)] = Field(
        description="The ways, such as `DiffusedQueries`, `ProposalQueries` and `RolledOutQueries`."
    )
    weights: list[NonNegative] | None = Field(
        None, description="How often each way is drawn, in proportion; null: all equally often."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        weights = self.weights
        if isinstance(weights, list) and (len(weights) != len(self.starts) or sum(weights) == 0):
            raise conflict("weights", weights, f"it needs {len(self.starts)} numbers, not all of them 0")
        return self


@explains("layers_diffu_detr.denoising.NoisyFiller")
class NoisyFillerOptions(Options):
    """Random boxes, the sigmoid of normal noise, as in the released DiffuDETR."""


@explains("layers_diffu_detr.denoising.CentreFiller")
class CentreFillerOptions(Options):
    """One and the same box in the middle of the image, half as wide and high as the image."""


@explains("layers_diffu_detr.denoising.GaussianFiller")
class GaussianFillerOptions(Options):
    """Normally distributed boxes around the middle of the image (DiffusionDet)."""
