"""`model.backbone`, `model.neck`, `model.position_embedding`: from an image to maps for the detector."""

from typing import Any, Self

from pydantic import Field, model_validator

from .base import Options, conflict
from .kinds import Count, Names, Natural, NonNegative, Part, Positive, divides
from .registry import explains

_NORM = "Normalization, by detectron2's name: `FrozenBN` keeps the pretrained statistics, `BN` learns them, `GN`, ..."


@explains("detectron2.modeling.backbone.resnet.ResNet")
class ResNetOptions(Options):
    """A ResNet (detectron2)."""

    stem: Part = Field(description="The layers before the first stage: `BasicStem`.")
    stages: Part | list[Part] = Field(
        description="The stages: `ResNet.make_default_stages`, or a list of `ResNet.make_stage`."
    )
    out_features: list[str] | None = Field(
        None, description="The maps that it gives: `res2` (a quarter of the image's sides) to `res5` (a 32nd)."
    )
    freeze_at: int = Field(
        0, description="How many parts are frozen: 0 none, 1 the stem, 2 the stem and the first stage, and so on."
    )


@explains("detectron2.modeling.backbone.resnet.BasicStem")
class StemOptions(Options):
    """A ResNet's first convolution and pooling (detectron2)."""

    in_channels: Count = Field(3, description="Channels of the image.")
    out_channels: Count = Field(64, description="Channels that the first stage gets.")
    norm: str = Field("BN", description=_NORM)


@explains("detectron2.modeling.backbone.resnet.ResNet.make_default_stages")
class DefaultStagesOptions(Options):
    """The four stages of a standard ResNet (detectron2)."""

    depth: int = Field(description="Number of layers: 18, 34, 50, 101 or 152.")
    stride_in_1x1: bool = Field(
        False, description="A block halves the map in its 1x1 convolution; true for weights of Caffe2 alone."
    )
    norm: str = Field("BN", description=_NORM)


@explains("detectron2.modeling.backbone.resnet.ResNet.make_stage")
class StageOptions(Options):
    """One stage of a ResNet (detectron2)."""

    block_class: Any = Field(description="The class of its blocks: `BasicBlock` or `BottleneckBlock` of detectron2.")
    num_blocks: Count = Field(description="Number of blocks.")
    in_channels: Count = Field(description="Channels of its input.")
    out_channels: Count = Field(description="Channels of its output.")
    stride_per_block: list[Count] | None = Field(
        None, description="Each block divides the sides of the map by this; null: none does."
    )
    norm: str = Field("BN", description=_NORM)


@explains("detectron2.modeling.backbone.fpn.FPN")
class FPNOptions(Options):
    """A feature pyramid (detectron2): the backbone's maps get the same channels, and coarse ones add to fine ones."""

    bottom_up: Part = Field(description="The backbone under the pyramid: `ResNet` or `SwinTransformer`.")
    in_features: Names = Field(description="The backbone's maps that the pyramid takes, finest first.")
    out_channels: Count = Field(description="Channels of the pyramid's maps, which are called `p2`, `p3`, ...")
    norm: str = Field("", description=f"{_NORM} Empty: none.")
    top_block: Part | None = Field(None, description="Makes coarser maps beyond the backbone's; null: there are none.")


@explains("projects.diffu_base.modeling.backbones.swin.SwinTransformer")
class SwinOptions(Options):
    """A Swin Transformer, which attends within windows of the image."""

    embed_dim: Count = Field(description="Channels of the first stage; every later stage has twice as many.")
    depths: list[Count] = Field(description="Number of blocks of each stage.")
    num_heads: list[Count] = Field(description="Heads of the attention in each stage; they divide its channels.")
    window_size: Count = Field(7, description="Side of a window, in cells of the map; as in the pre-training.")
    drop_path_rate: float = Field(
        0.2, ge=0, le=1, description="The chance that training skips the last block; earlier ones have less."
    )
    out_indices: list[Natural] = Field(
        [1, 2, 3], description="Stages that give a map, called `p0` to `p3`; the last stage must be among them."
    )


@explains("projects.diffu_base.modeling.backbones.timm_backbone.TimmBackbone")
class TimmOptions(Options):
    """Any model of the package timm that gives maps."""

    model_name: str = Field(description="The model's name in timm, such as `convnext_tiny.fb_in1k`.")
    out_indices: list[Natural] = Field([1, 2, 3], description="Numbers of the maps to take, finest first.")
    pretrained: bool = Field(False, description="Training starts from timm's own weights, which timm downloads once.")
    frozen_batch_norm: bool = Field(True, description="Batch norms keep their statistics and weights.")
    model_args: dict[str, Any] | None = Field(
        None, description="Further arguments of the model, such as {drop_path_rate: 0.1}."
    )


@explains("projects.diffu_base.modeling.backbones.neck.ChannelMapper")
class ChannelMapperOptions(Options):
    """Brings the backbone's maps to the transformer's channels, and adds coarser ones."""

    input_shapes: dict[str, Any] = Field(
        description="Name and shape (`ShapeSpec` of detectron2) of the backbone's maps."
    )
    in_features: Names = Field(description="The maps to take, finest first.")
    out_channels: Count = Field(description="Channels of every map: `model.embed_dim`.")
    num_outs: Count = Field(description="Number of maps that it gives, at least as many as it takes.")
    norm_layer: Part = Field(description="The normalization of every map: `GroupNorm`.")
    kernel_size: Count = Field(1, description="Side of the convolution of the maps that it takes.")

    @model_validator(mode="after")
    def _check_maps(self) -> Self:
        if isinstance(self.num_outs, int) and isinstance(self.in_features, list):
            if self.num_outs < len(self.in_features):
                raise conflict("num_outs", self.num_outs, f"{len(self.in_features)} in_features need at least as many")
        return self


@explains("torch.nn.modules.normalization.GroupNorm")
class GroupNormOptions(Options):
    """Normalizes groups of channels (PyTorch)."""

    num_groups: Count = Field(description="Number of groups; it divides `num_channels`.")
    num_channels: Count = Field(description="Number of channels.")
    eps: NonNegative = Field(1e-5, description="Added to the variance, so that it is never 0.")

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        if not divides(self.num_groups, self.num_channels):
            raise conflict("num_groups", self.num_groups, f"it must divide num_channels, {self.num_channels}")
        return self


@explains("torch.nn.modules.normalization.LayerNorm")
class LayerNormOptions(Options):
    """Normalizes all channels together (PyTorch)."""

    normalized_shape: Count | list[Count] = Field(description="Number of channels.")
    eps: NonNegative = Field(1e-5, description="Added to the variance, so that it is never 0.")


@explains("layers_diffu_detr.position_embedding.PositionEmbeddingSine")
class SineOptions(Options):
    """Tells the encoder where in the image a place is, by sines and cosines of many wavelengths (DETR)."""

    num_pos_feats: Count = Field(64, description="Channels for each of the two axes: `features_per_axis`.")
    temperature: Positive = Field(10000, description="The ratio of the longest wavelength to the shortest.")
    scale: Positive = Field(
        6.283185307179586, description="Length of an axis, where positions are normalized; 2π by default."
    )
    eps: Positive = Field(1e-6, description="Added to the length of an axis, so that it is never 0.")
    offset: float = Field(0.0, description="Added to positions, in cells; -0.5 takes the middle of each cell.")
    normalize: bool = Field(False, description="Positions count relative to the image's size.")


@explains("layers_diffu_detr.position_embedding.features_per_axis")
class FeaturesPerAxisOptions(Options):
    """Half of the channels: each of the two axes gets as many."""

    embed_dim: Count = Field(description="Channels of the tokens.")
