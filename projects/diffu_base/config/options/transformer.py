"""`model.transformer`: encoder, proposals and decoder of the DETR family."""

from typing import Self

from pydantic import Field, model_validator

from .base import Options, call, conflict
from .kinds import Count, Dropout, Part, Positive, divides
from .registry import explains


@explains("projects.diffu_detr.modeling.transformer.DeformableTransformer")
class TransformerOptions(Options):
    """Encoder, proposals and decoder of a two-stage DETR with deformable attention."""

    encoder: Part = Field(description="Refines the maps of the image: `DeformableTransformerEncoder`.")
    decoder: Part = Field(description="Turns queries into boxes and classes: `DeformableTransformerDecoder`.")
    num_feature_levels: Count = Field(4, description="Number of maps of different resolution, as many as the neck has.")
    ranking: Part = Field(
        description="Which places of the image become proposals: `BestClassScore` or `ObjectnessScore`."
    )
    supervision: Part = Field(
        description="What the loss sees of the encoder: `ChosenTokens`, `ChosenObjectness` or `EveryToken`."
    )
    tgt_embed: Part | None = Field(
        None, description="Learned content of the queries: `Embedding`; null takes the proposals' features."
    )
    pos_trans: Part | None = Field(
        None,
        description="Makes content and positions of the queries from the proposals' boxes: `build_pos_trans`; null "
        "where the decoder has a `ref_point_head`.",
    )
    time_embed: Part | None = Field(
        None, description="Embeds the timestep of the diffusion: `TimestepEmbedding`; null for a baseline."
    )
    box_content: Part | None = Field(
        None,
        description="Makes the queries' content from where their boxes are, in every pass anew: `SampledContent`; "
        "null: it is learned or comes from the proposals.",
    )
    self_conditioning: Part | None = Field(
        None,
        description="Gives a pass what the queries were at the end of the one before: `StateAsContent` or "
        "`StateAddedToContent`; null: nothing. Training needs further passes for it: `model.refinement_times` or "
        "`RolledOutQueries`.",
    )

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if self.box_content is not None and self.tgt_embed is not None:
            raise conflict("tgt_embed", self.tgt_embed, "box_content makes the content, so this must be null")
        return self


@explains("layers_diffu_detr.content.SampledContent")
class SampledContentOptions(Options):
    """Content is read from memory at the centre of the box, from the levels that fit the size of the box."""

    finest_side: Positive = Field(
        0.05,
        description="Side of a box, relative to the image, that fits the finest level; each further level doubles it.",
    )


@explains("layers_diffu_detr.content.StateAsContent")
class StateAsContentOptions(Options):
    """After the first pass, a query's content is what the decoder made of it in the pass before."""


@explains("layers_diffu_detr.content.StateAddedToContent")
class StateAddedToContentOptions(Options):
    """What the decoder made of a query in the pass before is added to its content, through a linear layer."""

    embed_dim: Count = Field(256, description="Channels of every query.")


class LayersOptions(Options):
    """What encoder and decoder have in common."""

    embed_dim: Count = Field(256, description="Channels of every token and query.")
    num_heads: Count = Field(8, description="Heads of each attention; they divide `embed_dim`.")
    feedforward_dim: Count = Field(2048, description="Channels inside the feed-forward part of a layer.")
    attn_dropout: Dropout = Field(0.0, description="Share of the attention that is dropped in training.")
    ffn_dropout: Dropout = Field(0.0, description="Share of the feed-forward part that is dropped in training.")
    num_layers: Count = Field(6, description="Number of layers.")
    num_feature_levels: Count = Field(4, description="Number of maps of different resolution that a layer looks into.")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if not divides(self.num_heads, self.embed_dim):
            raise conflict("num_heads", self.num_heads, f"it must divide embed_dim, {self.embed_dim}")
        return self


@explains("layers_diffu_detr.transformer.DeformableTransformerEncoder")
class EncoderOptions(LayersOptions):
    """Layers of deformable self-attention over the maps of an image."""


@explains("layers_diffu_detr.transformer.DeformableTransformerDecoder")
class DecoderOptions(LayersOptions):
    """Layers in which queries attend to each other and to the image, and refine their boxes."""

    conditioning: Part | None = Field(
        None,
        description="Tells a layer the timestep of the diffusion: `ScaleShiftConditioning` or `AdditiveConditioning`; "
        "null for a baseline.",
    )
    norm: Part | None = Field(
        None, description="Normalizes each layer's output before the heads: `LayerNorm` (DINO); null: nothing does."
    )
    ref_point_head: Part | None = Field(
        None,
        description="Makes the queries' positions from their boxes, anew for every layer: `build_ref_point_head`; null "
        "keeps the positions of `pos_trans`.",
    )
    look_forward: Part = Field(
        call("layers_diffu_detr.bbox_embedd.LookForwardTwice"),
        description="How far a loss reaches back through the refined boxes: `LookForwardOnce` or `LookForwardTwice`.",
    )


class EmbedDimOptions(Options):
    """The number of channels, the only option."""

    embed_dim: Count = Field(description="Channels of every query.")


@explains("layers_diffu_detr.bbox_embedd.build_ref_point_head")
class RefPointHeadOptions(EmbedDimOptions):
    """A small network that makes a query's position from the sine embedding of its box."""


@explains("projects.diffu_detr.modeling.transformer.build_pos_trans")
class PosTransOptions(EmbedDimOptions):
    """A linear layer that makes a query's position and content from the sine embedding of a proposal's box."""


class ConditioningOptions(Options):
    """The options of both ways of conditioning."""

    embed_dim: Count = Field(256, description="Channels of every query.")
    time_embed_dim: Count | None = Field(
        None, description="Channels of the embedded timestep; null: 4 times `embed_dim`, as `TimestepEmbedding` makes."
    )


@explains("layers_diffu_detr.conditioning.ScaleShiftConditioning")
class ScaleShiftOptions(ConditioningOptions):
    """The timestep scales and shifts the queries before each part of a layer, as in the released code."""


@explains("layers_diffu_detr.conditioning.AdditiveConditioning")
class AdditiveOptions(ConditioningOptions):
    """The timestep is added to the queries after self-attention, as DiffuDETR's paper has it."""


@explains("layers_diffu_detr.ldm.timestep.TimestepEmbedding")
class TimestepEmbeddingOptions(Options):
    """Embeds a timestep: a sinusoid, then two linear layers."""

    embed_dim: Count = Field(256, multiple_of=2, description="Channels of the sinusoid, an even number.")


@explains("layers_diffu_detr.bbox_embedd.LookForwardOnce")
class LookForwardOnceOptions(Options):
    """A layer's loss trains the box head of this layer alone (Deformable DETR)."""


@explains("layers_diffu_detr.bbox_embedd.LookForwardTwice")
class LookForwardTwiceOptions(Options):
    """A layer's loss also trains the box head of the layer before (DINO)."""


@explains("projects.diffu_detr.modeling.proposals.BestClassScore")
class BestClassScoreOptions(Options):
    """Ranks places by the score of their best class (DINO, released DiffuDINO)."""


@explains("projects.diffu_detr.modeling.proposals.ObjectnessScore")
class ObjectnessScoreOptions(Options):
    """Ranks places by class 0, which says whether there is an object if proposals are trained so (Deformable DETR)."""


@explains("projects.diffu_detr.modeling.proposals.ChosenTokens")
class ChosenTokensOptions(Options):
    """The loss sees the proposals, with all their classes (DINO)."""


@explains("projects.diffu_detr.modeling.proposals.ChosenObjectness")
class ChosenObjectnessOptions(Options):
    """The loss sees class 0 of the proposals: whether there is an object."""


@explains("projects.diffu_detr.modeling.proposals.EveryToken")
class EveryTokenOptions(Options):
    """The loss sees every place of the image, with all classes (Deformable DETR)."""


@explains("torch.nn.modules.sparse.Embedding")
class EmbeddingOptions(Options):
    """A table of learned vectors (PyTorch)."""

    num_embeddings: Count = Field(description="Number of vectors: `model.num_queries`.")
    embedding_dim: Count = Field(description="Channels of each vector: `model.embed_dim`.")
