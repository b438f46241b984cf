"""Ablation: the mask loss on the last head alone, with weight 10. 34.5 mask AP in the paper, against 37.3."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffusion_inst.modeling.criterion import LastHead

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_last_mask_loss_10"
_cfg.model.criterion.supervised = L(LastHead)()
_cfg.model.criterion.weight_dict.loss_mask = 10.0

globals().update(_cfg)
