"""`optimizer` and `lr_multiplier`: how the weights learn."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from .base import Options, conflict
from .kinds import Count, Natural, NonNegative, Part, Share
from .registry import explains


@explains("torch.optim.adamw.AdamW")
class AdamWOptions(Options):
    """The optimizer AdamW (PyTorch)."""

    params: Part = Field(description="Which parameters learn, and how fast: `param_groups`.")
    lr: NonNegative = Field(1e-3, description="Learning rate; `lr_multiplier` scales it in the course of the run.")
    betas: list[float] = Field(
        [0.9, 0.999],
        min_length=2,
        max_length=2,
        description="How slowly the running means of the gradient and of its square change; each in [0, 1).",
    )
    eps: NonNegative = Field(1e-8, description="Added to the denominator of an update, so that it is never 0.")
    weight_decay: NonNegative = Field(
        1e-2, description="Every update shrinks the weights by this share of themselves, times the learning rate."
    )
    amsgrad: bool = Field(False, description="The AMSGrad variant: the mean of the squared gradient never falls.")
    fused: bool | None = Field(None, description="One kernel updates all parameters; null lets PyTorch choose.")

    @model_validator(mode="after")
    def _check_betas(self) -> Self:
        if isinstance(self.betas, list) and not all(0 <= beta < 1 for beta in self.betas):
            raise conflict("betas", self.betas, "both must lie in [0, 1)")
        return self


@explains("layers_diffu_detr.optim.param_groups")
class ParamGroupsOptions(Options):
    """Groups of parameters with one learning rate and one weight decay each."""

    model: Part | None = Field(None, description="The model. The run sets it.")
    base_lr: NonNegative = Field(description="Learning rate of everything but the backbone.")
    backbone_lr_factor: NonNegative = Field(
        0.1, description="The backbone's learning rate is this times `base_lr`; a pretrained one needs less."
    )
    weight_decay_norm: NonNegative | None = Field(
        0.0, description="Weight decay of normalization layers; null takes the optimizer's."
    )


@explains("detectron2.solver.lr_scheduler.WarmupParamScheduler")
class WarmupOptions(Options):
    """A schedule of the learning rate that begins with a warmup (detectron2)."""

    scheduler: Part = Field(description="The schedule after the warmup: `MultiStepParamScheduler`.")
    warmup_factor: NonNegative = Field(description="The warmup starts at this times the schedule's first value.")
    warmup_length: Share = Field(description="Length of the warmup, as a share of the run; 0: none.")
    warmup_method: Literal["linear", "constant"] = Field(
        "linear", description="The learning rate rises evenly during the warmup, or stays where it starts."
    )


@explains("fvcore.common.param_scheduler.MultiStepParamScheduler")
class MultiStepOptions(Options):
    """A schedule of the learning rate in steps (fvcore). It stretches with `train.max_iter`."""

    values: list[NonNegative] = Field(
        min_length=1, description="Multipliers of the learning rate, one for each step of the schedule."
    )
    num_updates: Count | None = Field(
        None, description="The iteration at which the last step ends; null takes the last milestone."
    )
    milestones: list[Natural] | None = Field(
        None,
        description="Iterations at which the next multiplier takes over, ascending and below `num_updates`; null: "
        "steps of equal length.",
    )

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        if not isinstance(self.values, list) or not isinstance(self.milestones, list):
            return self
        wanted = len(self.values) - (self.num_updates is not None)
        if len(self.milestones) != wanted:
            raise conflict("milestones", self.milestones, f"{len(self.values)} values need {wanted} of them")
        end = self.num_updates if isinstance(self.num_updates, int) else float("inf")
        if any(a >= b for a, b in pairwise([0, *self.milestones, end])):
            raise conflict("milestones", self.milestones, f"they must increase, each inside (0, {end})")
        return self
