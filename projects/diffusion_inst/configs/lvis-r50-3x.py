"""DiffusionInst, ResNet-50, LVIS v1, 270,000 iterations. 22.3 mask AP in the paper."""

from detectron2.config import LazyCall as L

from datasets_utils.lvis_image_counts import lvis_image_counts
from projects.diffu_base.modeling.losses import FocalLoss
from projects.diffusion_inst.modeling.losses import FederatedLoss

from ....configs.common.base_run import base_run
from ....configs.common.data.lvis_detr import dataloader

_, lr_multiplier, model, optimizer, train = base_run(__file__, "coco-r50-3x.py")
train.output_dir = "./output/diffusion_inst_r50_lvis_3x"
train.eval_period = 90_000
dataloader.train.mapper.mask_on = True
dataloader.train.dataset.filter_empty = False
model.num_classes = 1203
model.criterion.class_loss = L(FederatedLoss)(
    class_loss=L(FocalLoss)(alpha=0.25, gamma=2.0), image_counts=L(lvis_image_counts)(), num_sampled=50, power=0.5
)
