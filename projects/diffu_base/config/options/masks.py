"""Masks: the mask feature of an image, and the small network that makes an object's mask of it."""

from pydantic import Field

from .base import Options
from .kinds import Count, Natural, Part
from .registry import explains


@explains("layers_diffu_detr.mask_head.MaskBranch")
class MaskBranchOptions(Options):
    """Joins several maps of the image into one mask feature."""

    in_channels: Count = Field(description="Channels of the maps.")
    num_levels: Count = Field(description="Number of maps that it takes, the finest first.")
    channels: Count = Field(description="Channels inside of the branch.")
    out_channels: Count = Field(description="Channels of the mask feature: `model.mask_head.in_channels`.")
    num_convs: Natural = Field(4, description="Convolutions after the maps are joined.")


class FilterSizes(Options):
    """What determines how many numbers an object's mask is made from."""

    in_channels: Count = Field(8, description="Channels of the mask feature.")
    channels: Count = Field(8, description="Channels between the layers.")
    num_layers: Count = Field(3, description="Layers; the last one gives the mask.")


@explains("layers_diffu_detr.mask_head.DynamicMaskHead")
class DynamicMaskHeadOptions(FilterSizes):
    """A small network per object, whose weights the object predicts; it turns the mask feature into a mask."""


@explains("layers_diffu_detr.mask_head.num_filters")
class NumFiltersOptions(Options):
    """The number of weights of a `DynamicMaskHead`, which every object predicts."""

    in_channels: Count = Field(description="Channels of the mask feature.")
    channels: Count = Field(description="Channels between the layers.")
    num_layers: Count = Field(description="Layers; the last one gives the mask.")


@explains("layers_diffu_detr.mlp.MLP")
class MLPOptions(Options):
    """Linear layers with ReLU between them."""

    input_dim: Count = Field(description="Channels of the input.")
    hidden_dim: Count = Field(description="Channels between the layers.")
    output_dim: Count = Field(description="Channels of the output; for masks `num_filters`.")
    num_layers: Count = Field(description="Number of layers.")


@explains("projects.diffu_base.modeling.mask_loss.MaskLoss")
class MaskLossOptions(Options):
    """The Dice loss of the predicted masks."""

    mask_head: Part = Field(description="Makes the masks: `model.mask_head`.")
