"""DiffusionDet with a ResNet-50 and a feature pyramid: the model tree that DiffusionInst's is a variant of."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import FPN, BasicStem, ResNet

from layers_diffu_detr.denoising import DiffusedQueries, GaussianFiller
from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, GaussianNoise
from layers_diffu_detr.ldm.ensemble import AllButLastPass
from layers_diffu_detr.ldm.renewal import FixedRenewal
from layers_diffu_detr.ldm.schedule import cosine_betas
from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base.modeling.losses import FocalLoss
from projects.diffusion_inst.modeling.criterion import DynamicKCriterion
from projects.diffusion_inst.modeling.diffusion_det import DiffusionDet
from projects.diffusion_inst.modeling.head import DynamicConv, RoIHead
from projects.diffusion_inst.modeling.matcher import SimOTAMatcher

model = L(DiffusionDet)(
    backbone=L(FPN)(
        bottom_up=L(ResNet)(
            stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
            stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=False, norm="FrozenBN"),
            out_features=["res2", "res3", "res4", "res5"],
            freeze_at=2,
        ),
        in_features="${.bottom_up.out_features}",
        out_channels="${..embed_dim}",
        norm="",
    ),
    roi_head=L(RoIHead)(
        embed_dim="${..embed_dim}",
        num_classes="${..num_classes}",
        dynamic_conv=L(DynamicConv)(embed_dim="${...embed_dim}", dynamic_dim=64, roi_size=7),
        num_attention_heads=8,
        feedforward_dim=2048,
        dropout=0.0,
        num_class_layers=1,
        num_box_layers=3,
        num_filters=0,
    ),
    embed_dim=256,
    num_classes=80,
    num_proposals=500,
    num_heads=6,
    in_features=["p2", "p3", "p4", "p5"],
    criterion=L(DynamicKCriterion)(
        num_classes="${..num_classes}",
        num_layers="${..num_heads}",
        matcher=L(SimOTAMatcher)(cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, alpha=0.25, gamma=2.0, candidates=5),
        class_loss=L(FocalLoss)(alpha=0.25, gamma=2.0),
        weight_dict={"loss_class": 2.0, "loss_bbox": 5.0, "loss_giou": 2.0},
    ),
    diffusion=L(GaussianDiffusion)(
        betas=L(cosine_betas)(num_timesteps=1000), signal_scale=2.0, noise=L(GaussianNoise)()
    ),
    diffused_queries=L(DiffusedQueries)(filler=L(GaussianFiller)()),
    sampler=L(DDIMSampler)(
        num_steps=1,
        update=L(DDIMUpdate)(eta=1.0),
        renewal=L(FixedRenewal)(value=0.5),
        ensemble=L(AllButLastPass)(),
        merge=L(ClassWiseNMS)(iou_threshold=0.5, min_passes=1),
        seed=None,
        last_time=-1,
    ),
    select_box_nums_for_evaluation="${.num_proposals}",
    pixel_mean=[123.675, 116.280, 103.530],
    pixel_std=[58.395, 57.120, 57.375],
    input_format="RGB",
)
