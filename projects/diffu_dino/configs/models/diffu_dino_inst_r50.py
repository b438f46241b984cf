"""DiffuDINO with a ResNet-50 and masks: DiffuDINO whose queries carry filters for a dynamic mask head."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch, num_filters
from layers_diffu_detr.mlp import MLP
from projects.diffu_base import get_config
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffu_dino.modeling.dino_inst import DiffuDINOInst, DINOMaskCriterion

model = get_config("diffu_dino/models/diffu_dino_r50").model
model._target_ = DiffuDINOInst
model.mask_stride = 8  # of the finest level, res3
model.mask_branch = L(MaskBranch)(
    in_channels="${..embed_dim}",
    num_levels=3,
    channels=128,
    out_channels="${..mask_head.in_channels}",
    num_convs=4,
)
model.mask_head = L(DynamicMaskHead)(in_channels=8, channels=8, num_layers=3)
model.controller = L(MLP)(
    input_dim="${..embed_dim}",
    hidden_dim="${..embed_dim}",
    output_dim=L(num_filters)(
        in_channels="${...mask_head.in_channels}",
        channels="${...mask_head.channels}",
        num_layers="${...mask_head.num_layers}",
    ),
    num_layers=3,
)
model.criterion._target_ = DINOMaskCriterion
model.criterion.mask_loss = L(MaskLoss)(mask_head="${...mask_head}")
model.criterion.weight_dict.loss_mask = 5.0
