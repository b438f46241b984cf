"""`model.criterion`: the matching of predictions with objects, and the losses."""

from typing import Self

from pydantic import Field, model_validator

from .base import Options, conflict
from .kinds import Count, NonNegative, Part, Positive, Share
from .registry import explains


class LossWeights(Options):
    """`weight_dict`: how much each kind of loss counts, in every layer of the decoder or head of the series."""

    model_config = {**Options.model_config, "extra": "forbid"}  # a weight of a loss that does not exist

    loss_class: NonNegative = Field(description="Weight of the classification loss.")
    loss_bbox: NonNegative = Field(description="Weight of the L1 loss of the boxes.")
    loss_giou: NonNegative = Field(description="Weight of the loss of the boxes' generalized IoU.")


class SetLossWeights(LossWeights):
    """Weights of `SetCriterion`."""

    loss_contrastive: NonNegative | None = Field(
        None, description="Weight of the contrastive loss; needed with `contrastive`."
    )
    loss_class_many: NonNegative | None = Field(
        None, description="Weight of the auxiliary queries' classification loss; needed with `auxiliary_queries`."
    )
    loss_bbox_many: NonNegative | None = Field(None, description="Weight of the auxiliary queries' L1 loss.")
    loss_giou_many: NonNegative | None = Field(
        None, description="Weight of the auxiliary queries' loss of the generalized IoU."
    )


class DenoisingLossWeights(SetLossWeights):
    """Weights of `DINOCriterion`."""

    loss_class_dn: NonNegative = Field(description="Weight of the denoising queries' classification loss.")
    loss_bbox_dn: NonNegative = Field(description="Weight of the denoising queries' L1 loss.")
    loss_giou_dn: NonNegative = Field(description="Weight of the denoising queries' loss of the generalized IoU.")


class DINOMaskLossWeights(DenoisingLossWeights):
    """Weights of `DINOMaskCriterion`."""

    loss_mask: NonNegative = Field(description="Weight of the mask loss.")


class MaskLossWeights(LossWeights):
    """Weights of `MaskCriterion`."""

    loss_mask: NonNegative = Field(description="Weight of the mask loss.")


@explains("projects.diffu_base.modeling.criterion.SetCriterion")
class SetCriterionOptions(Options):
    """The loss of a DETR: every layer's predictions are matched with the objects and compared with them."""

    num_classes: Count = Field(description="Number of classes.")
    matcher: Part = Field(description="Which query answers which object: `HungarianMatcher` or `MixedMatcher`.")
    class_loss: Part = Field(
        description="The classification loss: `FocalLoss`, `VarifocalLoss` or `IABCELoss` (Align-DETR)."
    )
    weight_dict: SetLossWeights = Field(description="The weight of each kind of loss.")
    num_layers: Count = Field(description="Layers of the decoder; each has its losses.")
    encoder_targets: Part = Field(
        description="What the encoder's proposals are compared with: `ClassAgnosticTargets` or `TargetsAsGiven`."
    )
    pair_weights: Part | None = Field(
        None, description="How much each pair of query and object counts: `RankWeights`; null: all the same."
    )
    contrastive: Part | None = Field(
        None, description="Another loss, on the queries of different classes: `ContrastiveLoss`; null: none."
    )

    @model_validator(mode="after")
    def _check_contrastive(self) -> Self:
        if self.contrastive is not None and self.weight_dict.loss_contrastive is None:
            raise conflict("weight_dict.loss_contrastive", None, "contrastive needs this weight")
        return self


@explains("projects.diffu_dino.modeling.criterion.DINOCriterion")
class DINOCriterionOptions(SetCriterionOptions):
    """`SetCriterion` with the losses of denoising queries, which need no matching."""

    weight_dict: DenoisingLossWeights = Field(description="The weight of each kind of loss.")


@explains("projects.diffu_dino.modeling.dino_inst.DINOMaskCriterion")
class DINOMaskCriterionOptions(DINOCriterionOptions):
    """`DINOCriterion` with a mask loss in every layer."""

    weight_dict: DINOMaskLossWeights = Field(description="The weight of each kind of loss.")
    mask_loss: Part = Field(description="Compares the masks: `MaskLoss`.")


@explains("projects.diffusion_inst.modeling.criterion.DynamicKCriterion")
class DynamicKCriterionOptions(Options):
    """The loss of DiffusionDet: every head's boxes are matched with the objects, several boxes with each."""

    num_classes: Count = Field(description="Number of classes.")
    num_layers: Count = Field(description="Heads in the series; each has its losses.")
    matcher: Part = Field(description="Which boxes answer which object: `SimOTAMatcher`.")
    class_loss: Part = Field(description="The classification loss: `FocalLoss`, or for LVIS `FederatedLoss`.")
    weight_dict: LossWeights = Field(description="The weight of each kind of loss.")


@explains("projects.diffusion_inst.modeling.criterion.MaskCriterion")
class MaskCriterionOptions(DynamicKCriterionOptions):
    """`DynamicKCriterion` with a mask loss."""

    weight_dict: MaskLossWeights = Field(description="The weight of each kind of loss.")
    mask_loss: Part = Field(description="Compares the masks: `MaskLoss`.")
    supervised: Part = Field(description="The heads whose masks are compared: `EveryHead` or `LastHead`.")


@explains("projects.diffusion_inst.modeling.criterion.EveryHead")
class EveryHeadOptions(Options):
    """The masks of every head are compared."""


@explains("projects.diffusion_inst.modeling.criterion.LastHead")
class LastHeadOptions(Options):
    """The masks of the last head alone are compared."""


@explains("projects.diffu_base.modeling.criterion.ClassAgnosticTargets")
class ClassAgnosticOptions(Options):
    """The proposals learn what is an object, not of which class (Deformable DETR, released DiffuDINO)."""


@explains("projects.diffu_base.modeling.criterion.TargetsAsGiven")
class TargetsAsGivenOptions(Options):
    """The proposals learn the objects' classes too (DINO)."""


class CostOptions(Options):
    """What a pair of query and object costs; the matcher finds the cheapest pairs."""

    cost_class: NonNegative = Field(2.0, description="Weight of the classification in the cost.")
    cost_bbox: NonNegative = Field(5.0, description="Weight of the L1 distance of the boxes in the cost.")
    cost_giou: NonNegative = Field(2.0, description="Weight of the boxes' generalized IoU in the cost.")
    alpha: Share = Field(0.25, description="Weight of objects against background in the cost of the classification.")
    gamma: NonNegative = Field(
        2.0, description="The larger this is, the less a confident prediction weighs; 0: all weigh the same."
    )


@explains("projects.diffu_base.modeling.matcher.HungarianMatcher")
class HungarianMatcherOptions(CostOptions):
    """One query answers each object, at the least total cost."""

    @model_validator(mode="after")
    def _check_costs(self) -> Self:
        if self.cost_class == self.cost_bbox == self.cost_giou == 0:
            raise conflict("cost_class", self.cost_class, "of cost_class, cost_bbox and cost_giou one must be above 0")
        return self


@explains("projects.diffu_align_detr.modeling.matcher.MixedMatcher")
class MixedMatcherOptions(HungarianMatcherOptions):
    """Several queries answer each object (Align-DETR)."""

    match_num: list[Count] = Field(
        description="Queries per object, for the encoder, each layer of the decoder but the last, and the last: "
        "`mixed_match_num`."
    )


@explains("projects.diffu_align_detr.modeling.matcher.mixed_match_num")
class MixedMatchNumOptions(Options):
    """Align-DETR's numbers: one query per object in the last layer, more everywhere else."""

    num_layers: Count = Field(description="Layers of the decoder.")
    most: Count = Field(2, description="Queries per object everywhere but in the last layer.")


@explains("projects.diffusion_inst.modeling.matcher.SimOTAMatcher")
class SimOTAMatcherOptions(CostOptions):
    """An object gets the more boxes, the better boxes already fit it (YOLOX)."""

    candidates: Count = Field(
        5, description="Boxes whose IoUs with an object are added up; the sum, rounded down, is its number of boxes."
    )
    radius: Positive = Field(
        2.5,
        description="Boxes with their centre farther from an object than this, in its widths and heights, come last.",
    )


class FocalShapeOptions(Options):
    """The options of focal losses."""

    alpha: Share = Field(0.25, description="Weight of objects; background has 1 - alpha.")
    gamma: NonNegative = Field(
        2.0, description="The larger this is, the less a correct prediction counts; 0: all count the same."
    )


@explains("projects.diffu_base.modeling.losses.FocalLoss")
class FocalLossOptions(FocalShapeOptions):
    """The focal loss (Lin et al. 2017), by which hard predictions count more."""
