"""DINO with a ResNet-50: the model tree that every config of this project changes a little of."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from torch import nn

from layers_diffu_detr.bbox_embedd import LookForwardTwice, build_ref_point_head
from layers_diffu_detr.ldm.ddim import SinglePass
from layers_diffu_detr.position_embedding import PositionEmbeddingSine, features_per_axis
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from projects.diffu_detr.modeling.criterion import TargetsAsGiven
from projects.diffu_detr.modeling.losses import FocalLoss
from projects.diffu_detr.modeling.matcher import HungarianMatcher
from projects.diffu_detr.modeling.neck import ChannelMapper
from projects.diffu_detr.modeling.proposals import BestClassScore, ChosenTokens
from projects.diffu_detr.modeling.transformer import DeformableTransformer
from projects.diffu_dino.modeling.criterion import DINOCriterion
from projects.diffu_dino.modeling.dino import DiffuDINO

model = L(DiffuDINO)(
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
            feedforward_dim=2048,
            attn_dropout=0.0,
            ffn_dropout=0.0,
            num_layers=6,
            num_feature_levels="${..num_feature_levels}",
        ),
        decoder=L(DeformableTransformerDecoder)(
            embed_dim="${...embed_dim}",
            num_heads=8,
            feedforward_dim=2048,
            attn_dropout=0.0,
            ffn_dropout=0.0,
            num_layers=6,
            num_feature_levels="${..num_feature_levels}",
            conditioning=None,
            norm=L(nn.LayerNorm)(normalized_shape="${....embed_dim}"),
            ref_point_head=L(build_ref_point_head)(embed_dim="${....embed_dim}"),
            look_forward=L(LookForwardTwice)(),
        ),
        num_feature_levels=4,
        ranking=L(BestClassScore)(),
        supervision=L(ChosenTokens)(),
        tgt_embed=L(nn.Embedding)(num_embeddings="${...num_queries}", embedding_dim="${...embed_dim}"),
        pos_trans=None,
        time_embed=None,
    ),
    embed_dim=256,
    num_classes=80,
    num_queries=900,
    criterion=L(DINOCriterion)(
        num_classes="${..num_classes}",
        num_layers="${..transformer.decoder.num_layers}",
        matcher=L(HungarianMatcher)(cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, alpha=0.25, gamma=2.0),
        class_loss=L(FocalLoss)(alpha=0.25, gamma=2.0),
        encoder_targets=L(TargetsAsGiven)(),
        weight_dict={
            "loss_class": 1.0,
            "loss_bbox": 5.0,
            "loss_giou": 2.0,
            "loss_class_dn": 1.0,
            "loss_bbox_dn": 5.0,
            "loss_giou_dn": 2.0,
        },
    ),
    diffusion=None,
    diffused_queries=None,
    sampler=L(SinglePass)(nms=None),
    dn_number=100,
    label_noise_ratio=0.5,
    box_noise_scale=1.0,
    select_box_nums_for_evaluation=300,
    pixel_mean=[123.675, 116.280, 103.530],
    pixel_std=[58.395, 57.120, 57.375],
    input_format="RGB",
)
