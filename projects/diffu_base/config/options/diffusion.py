"""The diffusion of boxes: noise, schedule, sampler."""

from typing import Literal

from pydantic import Field

from .base import Options
from .kinds import Count, Part, Positive, Share
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


@explains("layers_diffu_detr.ldm.ddim.DDIMSampler")
class DDIMSamplerOptions(Options):
    """The sampler of a diffusion model: it starts from noise and lets the network improve the boxes pass by pass."""

    num_steps: Count = Field(
        3,
        description="Passes of the decoder per image, at most as many as there are timesteps before `last_time`; more "
        "take more time.",
    )
    update: Part = Field(
        description="How the boxes of one pass become the input of the next: `ReleasedUpdate`, `DDIMUpdate` or "
        "`FreshNoise`."
    )
    renewal: Part | None = Field(
        None,
        description="Which queries start anew from noise after a pass: `TimeRenewal` or `FixedRenewal`; null: none.",
    )
    ensemble: Part | None = Field(
        None,
        description="The passes whose detections count: `AllPasses` (null too), `AllButLastPass` or `LastPass`.",
    )
    nms: Part | None = Field(None, description="Removes double detections: `ClassWiseNMS`; null keeps them.")
    seed: int | None = Field(
        None,
        description="Seed of the noise; with it an image gets the same noise each time. null draws other noise.",
    )
    last_time: Literal[0, -1] = Field(
        0, description="The timestep at which the chain ends: 0, or -1 for boxes without any noise (DiffusionDet)."
    )


@explains("layers_diffu_detr.ldm.ddim.SinglePass")
class SinglePassOptions(Options):
    """The sampler of a baseline without diffusion: one pass, from the encoder's proposals."""

    nms: Part | None = Field(None, description="Removes double detections: `ClassWiseNMS`; null keeps them.")


@explains("layers_diffu_detr.ldm.ddim.DDIMUpdate")
class DDIMUpdateOptions(Options):
    """The step of DDIM (Song et al. 2021)."""

    eta: Share = Field(0.0, description="How much new noise a step adds: 0 adds none, 1 as much as DDPM.")


@explains("layers_diffu_detr.ldm.ddim.ReleasedUpdate")
class ReleasedUpdateOptions(DDIMUpdateOptions):
    """The step in DiffuDETR's released code. It differs from `DDIMUpdate` in the range of the predicted boxes."""


@explains("layers_diffu_detr.ldm.ddim.FreshNoise")
class FreshNoiseOptions(Options):
    """New noise after every pass, so that no pass builds on another. For comparisons."""


@explains("layers_diffu_detr.ldm.renewal.TimeRenewal")
class TimeRenewalOptions(Options):
    """Renews queries whose confidence is at most t / T, where t is the next timestep, so fewer from pass to pass."""


@explains("layers_diffu_detr.ldm.renewal.FixedRenewal")
class FixedRenewalOptions(Options):
    """Renews queries whose confidence is at most a constant (DiffusionDet, DiffusionInst)."""

    value: Share = Field(0.5, description="The confidence at or below which a query is renewed.")


@explains("layers_diffu_detr.ldm.ensemble.AllPasses")
class AllPassesOptions(Options):
    """The detections of all passes count."""


@explains("layers_diffu_detr.ldm.ensemble.AllButLastPass")
class AllButLastPassOptions(Options):
    """The detections of all passes but the last count, as in the released DiffusionInst. A single pass counts."""


@explains("layers_diffu_detr.ldm.ensemble.LastPass")
class LastPassOptions(Options):
    """The detections of the last pass alone count."""


@explains("layers_diffu_detr.postprocess.ClassWiseNMS")
class NMSOptions(Options):
    """Non-maximum suppression: of detections of one class that overlap, the most confident stays."""

    iou_threshold: float = Field(
        0.8, gt=0, le=1, description="Of two detections whose boxes have a greater IoU, NMS keeps one."
    )
    min_passes: int = Field(
        2, description="NMS only runs on this many passes or more: 1 always runs, 2 leaves a single pass alone."
    )
