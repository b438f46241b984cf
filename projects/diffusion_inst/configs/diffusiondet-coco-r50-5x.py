"""DiffusionDet, ResNet-50, COCO, 60 epochs: DiffusionInst's box part."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_standard_schedule

_cfg = get_config("common/coco_run")
_cfg.model = get_config("diffusion_inst/models/diffusion_det_r50").model
_cfg.dataloader.train.dataset.filter_empty = False
_cfg.optimizer.lr = 2.5e-5  # at batch 16
_cfg.optimizer.params.update(backbone_lr_factor=1.0, weight_decay_norm=None)
_cfg.train.output_dir = "./output/diffusiondet_r50_coco_5x"
_cfg.train.eval_period = 30_000
_cfg.train.clip_grad.params.max_norm = 1.0
set_standard_schedule(_cfg, times=5)

globals().update(_cfg)
