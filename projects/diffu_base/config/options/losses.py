"""Losses that ask more of a class score than the focal loss does."""

from pydantic import Field

from .base import Options, call
from .criterion import FocalShapeOptions
from .kinds import Count, NonNegative, Part, Positive, Share
from .registry import explains


@explains("projects.diffu_base.modeling.losses.VarifocalLoss")
class VarifocalLossOptions(FocalShapeOptions):
    """The varifocal loss (Zhang et al. 2021): a query's score learns how well its box fits."""

    alpha: Share = Field(0.25, description="Background counts 1 - alpha.")
    gamma: NonNegative = Field(
        2.0, description="The larger this is, the less a confident background prediction counts; 0: no effect."
    )
    quality: Part = Field(
        call("layers_diffu_detr.box_ops.paired_giou"),
        description="How well a box fits, a function of predicted and true boxes: `paired_giou`, the generalized IoU, "
        "as released, or `paired_iou`.",
    )


@explains("projects.diffu_align_detr.modeling.losses.IABCELoss")
class IABCELossOptions(Options):
    """Align-DETR's classification loss: a query's score learns a mean of itself and its box's IoU."""

    alpha: Share = Field(0.25, description="Share of the score in that mean, against the IoU.")
    gamma: NonNegative = Field(
        2.0, description="The larger this is, the less a confident background prediction counts; 0: no effect."
    )


@explains("projects.diffu_align_detr.modeling.losses.RankWeights")
class RankWeightsOptions(Options):
    """Of the queries that answer one object, the best counts most (Align-DETR)."""

    tau: Positive = Field(1.5, description="How much the others count; the larger, the more.")
    alpha: Share = Field(0.25, description="Share of the score in what ranks the queries, as in `IABCELoss`.")


@explains("projects.diffusion_inst.modeling.losses.FederatedLoss")
class FederatedLossOptions(Options):
    """A loss over a few classes at a time (LVIS), so that rare classes are not drowned by absent ones."""

    class_loss: Part = Field(description="The loss over the chosen classes: `FocalLoss`.")
    image_counts: list[int] = Field(description="How many images hold each class: `lvis_image_counts`.")
    num_sampled: int = Field(50, ge=2, description="Classes that count at a time, the background among them.")
    power: float = Field(
        0.5, description="Classes are drawn by their number of images to this power; 0: all equally often."
    )


@explains("datasets_utils.lvis_image_counts.lvis_image_counts")
class LvisImageCountsOptions(Options):
    """How many training images of LVIS v1 hold each of its 1203 classes."""


@explains("projects.diffu_base.modeling.contrastive.ContrastiveLoss")
class ContrastiveLossOptions(Options):
    """Draws queries of one class together, and those of different classes apart."""

    metric: Part = Field(description="The loss itself: `metric_loss`.")
    embed_dim: Count = Field(256, description="Channels of the queries.")
    projection_dim: Count = Field(128, description="Channels that the queries are projected to.")


@explains("projects.diffu_base.modeling.contrastive.metric_loss")
class MetricLossOptions(Options):
    """A loss of the package pytorch-metric-learning; further keys are its arguments."""

    model_config = {**Options.model_config, "extra": "allow"}

    name: str = Field(description="The loss's name there, such as `SupConLoss`.")
    temperature: Positive | None = Field(
        None, description="For losses that have one, such as `SupConLoss`: the lower, the more near queries count."
    )
