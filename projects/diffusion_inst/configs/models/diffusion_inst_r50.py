"""DiffusionInst with a ResNet-50: DiffusionDet whose boxes carry filters for masks."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch, num_filters
from projects.diffu_base import get_config
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffusion_inst.modeling.criterion import EveryHead, MaskCriterion
from projects.diffusion_inst.modeling.diffusion_inst import DiffusionInst

model = get_config("diffusion_inst/models/diffusion_det_r50").model
model._target_ = DiffusionInst
# As released. The paper names p3 to p5.
model.mask_features = ["p2", "p3", "p4"]
model.mask_branch = L(MaskBranch)(
    in_channels="${..embed_dim}",
    num_levels=len(model.mask_features),
    channels=128,
    out_channels="${..mask_head.in_channels}",
    num_convs=4,
)
model.mask_head = L(DynamicMaskHead)(in_channels=8, channels=8, num_layers=3)
model.roi_head.num_filters = L(num_filters)(
    in_channels="${...mask_head.in_channels}",
    channels="${...mask_head.channels}",
    num_layers="${...mask_head.num_layers}",
)
model.criterion._target_ = MaskCriterion
model.criterion.mask_loss = L(MaskLoss)(mask_head="${...mask_head}")
model.criterion.supervised = L(EveryHead)()
model.criterion.weight_dict.loss_mask = 5.0
