"""Two-stage Deformable DETR with box refinement and a ResNet-50: the model tree that DINO's is a variant of."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from torch import nn

from layers_diffu_detr.bbox_embedd import LookForwardOnce
from layers_diffu_detr.ldm.ddim import SinglePass
from layers_diffu_detr.position_embedding import PositionEmbeddingSine, features_per_axis
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from projects.diffu_base.modeling.backbones.neck import ChannelMapper
from projects.diffu_base.modeling.criterion import ClassAgnosticTargets, SetCriterion
from projects.diffu_base.modeling.losses import FocalLoss
from projects.diffu_base.modeling.matcher import HungarianMatcher
from projects.diffu_detr.modeling.meta_arch import DiffuDETR
from projects.diffu_detr.modeling.proposals import EveryToken, ObjectnessScore
from projects.diffu_detr.modeling.transformer import DeformableTransformer, build_pos_trans

model = L(DiffuDETR)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=False, norm="FrozenBN"),
        out_features=["res3", "res4", "res5"],
        freeze_at=1,
    ),
    position_embedding=L(PositionEmbeddingSine)(
        num_pos_feats=L(features_per_axis)(embed_dim="${...embed_dim}"), temperature=10000, normalize=True, offset=-0.5
    ),
    neck=L(ChannelMapper)(
        input_shapes={
            "res3": ShapeSpec(channels=512),
            "res4": ShapeSpec(channels=1024),
            "res5": ShapeSpec(channels=2048),
        },
        in_features=["res3", "res4", "res5"],
        out_channels="${..embed_dim}",
        num_outs="${..transformer.num_feature_levels}",
        kernel_size=1,
        norm_layer=L(nn.GroupNorm)(num_groups=32, num_channels="${...embed_dim}"),
    ),
    transformer=L(DeformableTransformer)(
        encoder=L(DeformableTransformerEncoder)(
            embed_dim="${...embed_dim}",
            num_heads=8,
            feedforward_dim=1024,
            attn_dropout=0.1,
            ffn_dropout=0.1,
            num_layers=6,
            num_feature_levels="${..num_feature_levels}",
        ),
        decoder=L(DeformableTransformerDecoder)(
            embed_dim="${...embed_dim}",
            num_heads=8,
            feedforward_dim=1024,
            attn_dropout=0.1,
            ffn_dropout=0.1,
            num_layers=6,
            num_feature_levels="${..num_feature_levels}",
            conditioning=None,
            norm=None,
            ref_point_head=None,
            look_forward=L(LookForwardOnce)(),
        ),
        num_feature_levels=4,
        ranking=L(ObjectnessScore)(),
        supervision=L(EveryToken)(),
        tgt_embed=None,
        pos_trans=L(build_pos_trans)(embed_dim="${...embed_dim}"),
        time_embed=None,
    ),
    embed_dim=256,
    num_classes=80,
    num_queries=300,
    criterion=L(SetCriterion)(
        num_classes="${..num_classes}",
        num_layers="${..transformer.decoder.num_layers}",
        matcher=L(HungarianMatcher)(cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, alpha=0.25, gamma=2.0),
        class_loss=L(FocalLoss)(alpha=0.25, gamma=2.0),
        encoder_targets=L(ClassAgnosticTargets)(),
        pair_weights=None,
        weight_dict={"loss_class": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0},
    ),
    diffusion=None,
    diffused_queries=None,
    sampler=L(SinglePass)(merge=None),
    select_box_nums_for_evaluation=300,
    pixel_mean=[123.675, 116.280, 103.530],
    pixel_std=[58.395, 57.120, 57.375],
    input_format="RGB",
)
