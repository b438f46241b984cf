"""DiffusionInst, ResNet-50, LVIS v1, 270,000 iterations. 22.3 mask AP in the paper."""

from detectron2.config import LazyCall as L

from datasets_utils.lvis_image_counts import lvis_image_counts
from projects.diffu_base import get_config
from projects.diffu_base.modeling.losses import FocalLoss
from projects.diffusion_inst.modeling.losses import FederatedLoss

_cfg = get_config("diffusion_inst/coco-r50-3x")
_cfg.dataloader = get_config("common/data/lvis_detr").dataloader
_cfg.dataloader.train.mapper.mask_on = True
_cfg.dataloader.train.dataset.filter_empty = False
_cfg.model.num_classes = 1203
_cfg.model.criterion.class_loss = L(FederatedLoss)(
    class_loss=L(FocalLoss)(alpha=0.25, gamma=2.0), image_counts=L(lvis_image_counts)(), num_sampled=50, power=0.5
)
_cfg.train.output_dir = "./output/diffusion_inst_r50_lvis_3x"
_cfg.train.eval_period = 90_000

globals().update(_cfg)
