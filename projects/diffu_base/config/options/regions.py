"""`model.roi_head`: the heads of DiffusionDet and DiffusionInst, which look into the regions of their boxes."""

from typing import Self

from pydantic import Field, model_validator

from .base import Options, conflict
from .kinds import Count, Dropout, Natural, Part, divides
from .registry import explains


@explains("projects.diffusion_inst.modeling.head.RoIHead")
class RoIHeadOptions(Options):
    """One head: boxes attend to each other and to their regions, then predict their class and a better box."""

    embed_dim: Count = Field(description="Channels of every box.")
    num_classes: Count = Field(description="Number of classes.")
    dynamic_conv: Part = Field(description="Lets a box look into its region: `DynamicConv`.")
    num_attention_heads: Count = Field(8, description="Heads of the attention between boxes; they divide `embed_dim`.")
    feedforward_dim: Count = Field(2048, description="Channels inside the feed-forward part.")
    dropout: Dropout = Field(0.0, description="Share of attention and feed-forward part that training drops.")
    num_class_layers: Natural = Field(1, description="Linear layers before the class is predicted.")
    num_box_layers: Natural = Field(3, description="Linear layers before the box is predicted.")
    num_filters: Natural = Field(
        0, description="Numbers that are predicted per box for its mask, see `num_filters`; 0: no masks."
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if not divides(self.num_attention_heads, self.embed_dim):
            allowed = f"it must divide embed_dim, {self.embed_dim}"
            raise conflict("num_attention_heads", self.num_attention_heads, allowed)
        return self


@explains("projects.diffusion_inst.modeling.head.DynamicConv")
class DynamicConvOptions(Options):
    """A box's feature makes two matrices, which the cells of its region pass through (Sparse R-CNN)."""

    embed_dim: Count = Field(256, description="Channels of every box.")
    dynamic_dim: Count = Field(64, description="Channels between the two matrices.")
    roi_size: Count = Field(7, description="Side of a region, in cells.")
