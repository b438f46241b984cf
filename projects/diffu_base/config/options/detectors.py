"""`model`: the detectors."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Options, conflict
from .kinds import Count, Names, Natural, NonNegative, Part, Share
from .registry import explains


class DetectorOptions(Options):
    """The options of every detector."""

    predicts_masks: ClassVar[bool] = False

    backbone: Part
    embed_dim: Count = Field(description="Channels of every query. Most other numbers of channels follow it.")
    num_classes: Count = Field(
        description="Number of classes; it must be that of the data set. Own data are counted by `count_classes`."
    )
    criterion: Part
    sampler: Part
    diffusion: Part | None
    diffused_queries: Part | None
    select_box_nums_for_evaluation: Count = Field(300, description="Detections that are kept per image.")
    pixel_mean: list[float] = Field(
        [123.675, 116.28, 103.53],
        description="Mean of each colour channel, from 0 to 255, that the backbone was pretrained with.",
    )
    pixel_std: list[float] = Field(
        [58.395, 57.12, 57.375],
        description="Standard deviation of each colour channel that the backbone was pretrained with.",
    )
    input_format: Literal["RGB", "BGR"] = Field(
        "RGB", description="Order of the colour channels that the backbone expects."
    )

    @model_validator(mode="after")
    def _check_passes(self) -> Self:
        """Check that there are timesteps for all passes. The sampler would only find out in the first evaluation."""
        num_steps, timesteps = _inside(self.sampler, "num_steps"), _inside(self.diffusion, "betas", "num_timesteps")
        times, last_time = _inside(self.sampler, "times"), _inside(self.sampler, "last_time") or 0
        if isinstance(times, list) and isinstance(timesteps, int):
            if not times or not all(a > b for a, b in pairwise([timesteps, *times, last_time])):
                allowed = f"it needs falling timesteps below {timesteps} and above {last_time}"
                raise conflict("sampler.times", times, allowed)
            if isinstance(num_steps, int) and num_steps > len(times):
                raise conflict("sampler.num_steps", num_steps, f"sampler.times {times} allow 1 to {len(times)}")
        elif isinstance(num_steps, int) and isinstance(timesteps, int):
            available = timesteps - 1 - last_time
            if timesteps >= 1 and num_steps > available:
                raise conflict("sampler.num_steps", num_steps, f"{timesteps} timesteps allow 1 to {available}")
        return self


def _inside(value: Any, *keys: str) -> Any:
    """The value under `keys` in the LazyCall `value`, or None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@explains("projects.diffu_detr.modeling.meta_arch.DiffuDETR")
class DiffuDETROptions(DetectorOptions):
    """A two-stage DETR with deformable attention; with the slots of diffusion it is DiffuDETR."""

    backbone: Part = Field(description="Makes maps of the image: `ResNet`, `SwinTransformer` or `TimmBackbone`.")
    position_embedding: Part = Field(description="Tells the encoder where a place is: `PositionEmbeddingSine`.")
    neck: Part = Field(description="Brings the backbone's maps to the transformer's channels: `ChannelMapper`.")
    transformer: Part = Field(description="Encoder, proposals and decoder: `DeformableTransformer`.")
    num_queries: Count = Field(description="Boxes that are predicted per image.")
    refinement_times: list[Natural] = Field(
        [],
        description="Timesteps of further passes in training, each from the boxes of the pass before; empty: one pass.",
    )
    criterion: Part = Field(
        description="The loss: `SetCriterion`, for DINO `DINOCriterion`, with masks `DINOMaskCriterion`."
    )
    sampler: Part = Field(description="How boxes are inferred: `DDIMSampler`, or `SinglePass` for a baseline.")
    diffusion: Part | None = Field(
        None, description="The forward process, which adds noise to boxes: `GaussianDiffusion`; null for a baseline."
    )
    diffused_queries: Part | None = Field(
        None,
        description="Makes the boxes that training starts from: of objects, `DiffusedQueries` or `DuplicatedQueries`; "
        "of proposals, `ProposalQueries`; by earlier passes, `RolledOutQueries`; in several ways, `MixedQueries`. null "
        "for a baseline.",
    )

    auxiliary_queries: Part | None = Field(
        None,
        description="Adds a group of queries that training alone has: `OneToManyQueries`; null: none. The criterion "
        "then needs the weights `loss_class_many`, `loss_bbox_many` and `loss_giou_many`.",
    )

    @model_validator(mode="after")
    def _check_auxiliary(self) -> Self:
        weights = _inside(self.criterion, "weight_dict")
        for loss in ("loss_class_many", "loss_bbox_many", "loss_giou_many"):
            if self.auxiliary_queries is not None and isinstance(weights, Mapping) and weights.get(loss) is None:
                raise conflict(f"criterion.weight_dict.{loss}", None, "auxiliary_queries needs this weight")
        return self

    @model_validator(mode="after")
    def _check_training_start(self) -> Self:
        t, timesteps = _inside(self.diffused_queries, "t"), _inside(self.diffusion, "betas", "num_timesteps")
        if isinstance(t, int) and isinstance(timesteps, int) and t >= timesteps:
            raise conflict("diffused_queries.t", t, f"{timesteps} timesteps allow 0 to {timesteps - 1}")
        state = _inside(self.transformer, "self_conditioning")
        if state is not None and self.diffusion is None:
            raise conflict("transformer.self_conditioning", state, "a baseline has one pass, so this must be null")
        return self


@explains("projects.diffu_detr.modeling.queries.OneToManyQueries")
class OneToManyQueriesOptions(Options):
    """All proposals as a further group of queries, of which several answer each object. Inference has no such group."""

    matches: Count = Field(4, description="How many of the queries answer each object.")


@explains("projects.diffu_dino.modeling.dino.DiffuDINO")
class DiffuDINOOptions(DiffuDETROptions):
    """DINO; with the slots of diffusion it is DiffuDINO, and with Align-DETR's losses DiffuAlignDETR."""

    dn_number: Natural = Field(
        100, description="Denoising queries of each kind, near the objects and farther from them; 0: none."
    )
    label_noise_ratio: Share = Field(
        0.5, description="Half of this is the share of the denoising queries that get the label of another class."
    )
    box_noise_scale: NonNegative = Field(
        1.0, description="How far denoising queries are shifted from their object, in halves of its box's sides."
    )


@explains("projects.diffu_dino.modeling.dino_inst.DiffuDINOInst")
class DiffuDINOInstOptions(DiffuDINOOptions):
    """DiffuDINO with masks."""

    predicts_masks: ClassVar[bool] = True

    mask_branch: Part = Field(description="Joins maps of the image into one mask feature: `MaskBranch`.")
    mask_head: Part = Field(description="Makes masks of that feature: `DynamicMaskHead`.")
    controller: Part = Field(description="Predicts each query's part of the mask head: `MLP`.")
    mask_stride: Count = Field(8, description="Pixels of the image per cell of the mask feature, in each direction.")


@explains("projects.diffusion_inst.modeling.diffusion_det.DiffusionDet")
class DiffusionDetOptions(DetectorOptions):
    """DiffusionDet: heads in series look into boxes of noise and move them onto objects."""

    backbone: Part = Field(description="Makes a pyramid of maps of the image: `FPN`.")
    roi_head: Part = Field(description="The first head, of which the others are copies: `RoIHead`.")
    num_proposals: Count = Field(description="Boxes that are predicted per image.")
    num_heads: Count = Field(description="Heads in the series.")
    in_features: Names = Field(description="The maps that the heads look into, finest first.")
    criterion: Part = Field(description="The loss: `DynamicKCriterion`, with masks `MaskCriterion`.")
    sampler: Part = Field(description="How boxes are inferred: `DDIMSampler`.")
    diffusion: Part = Field(description="The forward process, which adds noise to boxes: `GaussianDiffusion`.")
    diffused_queries: Part = Field(
        description="Makes training boxes of the objects: `DiffusedQueries` or `DuplicatedQueries`."
    )
    select_box_nums_for_evaluation: Count = Field(description="Detections that are kept per image.")


@explains("projects.diffusion_inst.modeling.diffusion_inst.DiffusionInst")
class DiffusionInstOptions(DiffusionDetOptions):
    """DiffusionInst: DiffusionDet with masks."""

    predicts_masks: ClassVar[bool] = True

    mask_branch: Part = Field(description="Joins maps of the pyramid into one mask feature: `MaskBranch`.")
    mask_head: Part = Field(description="Makes masks of that feature: `DynamicMaskHead`.")
    mask_features: Names = Field(description="The maps that the branch takes, finest first.")
