"""`model.sampler`: how boxes are inferred."""

from typing import Literal

from pydantic import Field

from .base import Options
from .kinds import Count, Natural, NonNegative, Part, Positive, Share
from .registry import explains

_MERGES = "`ClassWiseNMS`, `SoftNMS` or `BoxVoting`; null keeps all."
_MIN_PASSES = Field(
    2,
    description="Merges from this many passes on: 1 always merges, 2 leaves a single pass alone.",
)


def _threshold(default: float, description: str) -> float:
    """The field of an IoU in (0, 1]."""
    return Field(default, gt=0, le=1, description=description)


@explains("layers_diffu_detr.ldm.ddim.DDIMSampler")
class DDIMSamplerOptions(Options):
    """The sampler of a diffusion model: from noise or proposals, the network improves the boxes pass by pass."""

    num_steps: Count = Field(
        3,
        description="Passes of the decoder per image, at most as many as there are timesteps before `last_time`; more "
        "take more time.",
    )
    update: Part = Field(
        description="How the boxes of one pass become the input of the next: `ReleasedUpdate`, `DDIMUpdate` or "
        "`FreshNoise`."
    )
    start: Part | None = Field(
        None,
        description="Where the first pass starts: `GaussianStart` (null too), `SobolStart`, `ProposalStart`, "
        "`DistinctProposalStart` or `FilledProposalStart`; the last three need a model with proposals.",
    )
    times: list[Natural] | None = Field(
        None,
        description="Timesteps of the passes, the largest first; the first `num_steps` are used. null: evenly spaced.",
    )
    renewal: Part | None = Field(
        None,
        description="Which queries go on after a pass: `TimeRenewal`, `FixedRenewal` and `DistinctRenewal` start the "
        "others anew from noise, `DropDuplicates` ends them; null: all go on.",
    )
    stop: Part | None = Field(
        None, description="Which images need no further pass: `NothingNew`; null: all have `num_steps` passes."
    )
    ensemble: Part | None = Field(
        None,
        description="The passes whose detections count: `AllPasses` (null too), `AllButLastPass` or `LastPass`.",
    )
    merge: Part | None = Field(None, description=f"What becomes of double detections: {_MERGES}")
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

    start: Part | None = Field(
        None,
        description="Which proposals: all with `ProposalStart` (null too), or `DistinctProposalStart`. Training uses "
        "the same.",
    )
    merge: Part | None = Field(None, description=f"What becomes of double detections: {_MERGES}")


@explains("layers_diffu_detr.ldm.starts.GaussianStart")
class GaussianStartOptions(Options):
    """Noise, independent from box to box."""


@explains("layers_diffu_detr.ldm.starts.SobolStart")
class SobolStartOptions(Options):
    """Noise that fills the space of boxes evenly: a scrambled Sobol sequence, brought to the normal distribution."""


@explains("layers_diffu_detr.ldm.starts.ProposalStart")
class ProposalStartOptions(Options):
    """All of the encoder's proposals."""

    noise: Part | None = Field(
        None,
        description="Moves the boxes by the noise of the first timestep: `ImageNoise` or `RelativeNoise`; null: none.",
    )


@explains("layers_diffu_detr.ldm.starts.DistinctProposalStart")
class DistinctProposalStartOptions(ProposalStartOptions):
    """The proposals that overlap no better one, about one per object. One pass then needs no NMS."""

    iou_threshold: float = _threshold(0.3, "Of two proposals whose boxes have a greater IoU, the better one stays.")
    most: Count | None = Field(None, description="The most proposals of an image, the best ones; null: all.")


@explains("layers_diffu_detr.ldm.starts.FilledProposalStart")
class FilledProposalStartOptions(DistinctProposalStartOptions):
    """The proposals that overlap no better one, and noise in the place of the others."""


@explains("layers_diffu_detr.ldm.box_noise.ImageNoise")
class ImageNoiseOptions(Options):
    """The noise of the forward process, in units of the image: a small box moves as far as a large one."""


@explains("layers_diffu_detr.ldm.box_noise.RelativeNoise")
class RelativeNoiseOptions(Options):
    """Noise in units of the box: a small box moves less than a large one."""

    scale: NonNegative = Field(
        0.5, description="Standard deviation of noise alone, in halves of the box's sides; earlier timesteps have less."
    )


@explains("layers_diffu_detr.ldm.ddim.DDIMUpdate")
class DDIMUpdateOptions(Options):
    """The step of DDIM (Song et al. 2021)."""

    eta: Share = Field(0.0, description="How much new noise a step adds: 0 adds none, 1 as much as DDPM.")


@explains("layers_diffu_detr.ldm.ddim.ReleasedUpdate")
class ReleasedUpdateOptions(DDIMUpdateOptions):
    """The step in DiffuDETR's released code. It differs from `DDIMUpdate` in the range of the predicted boxes."""


@explains("layers_diffu_detr.ldm.ddim.PredictedBoxes")
class PredictedBoxesOptions(Options):
    """The predicted boxes become the next input as they are, for chains that start from proposals."""


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


@explains("layers_diffu_detr.ldm.renewal.DistinctRenewal")
class DistinctRenewalOptions(Options):
    """Renews queries whose box overlaps that of a more confident one."""

    iou_threshold: float = _threshold(0.3, "Of two boxes that have a greater IoU, the more confident one goes on.")


@explains("layers_diffu_detr.ldm.renewal.DropDuplicates")
class DropDuplicatesOptions(DistinctRenewalOptions):
    """Ends queries whose box overlaps that of a more confident one, so that later passes have fewer queries."""


@explains("layers_diffu_detr.ldm.renewal.NothingNew")
class NothingNewOptions(Options):
    """An image is done when a pass finds no object that earlier passes have not found."""

    confidence: Share = Field(0.3, description="A prediction with a greater score is an object.")
    iou_threshold: Share = Field(0.5, description="An object is new if no earlier one has a greater IoU with it.")


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

    iou_threshold: float = _threshold(0.8, "Of two detections whose boxes have a greater IoU, NMS keeps one.")
    min_passes: int = _MIN_PASSES


@explains("layers_diffu_detr.merging.SoftNMS")
class SoftNMSOptions(Options):
    """Lowers the scores of detections that overlap a better one of their class, the more, the more they overlap."""

    sigma: Positive = Field(0.5, description="The smaller it is, the more an overlap lowers the score.")
    min_passes: int = _MIN_PASSES


@explains("layers_diffu_detr.merging.BoxVoting")
class BoxVotingOptions(Options):
    """NMS, after which the box of each detection is the mean of those around it, weighted by their scores."""

    iou_threshold: float = _threshold(0.65, "Of two detections whose boxes have a greater IoU, NMS keeps one.")
    vote_iou_threshold: float = _threshold(0.8, "Detections with a greater IoU with the kept one are averaged.")
    min_passes: int = _MIN_PASSES
