"""DiffusionDet, ResNet-50, on your own data in COCO's format."""

from projects.diffu_base import get_config

_cfg = get_config("common/own_data_run")
_cfg.model = get_config("diffusion_inst/models/diffusion_det_r50").model
_cfg.model.num_classes = _cfg.num_classes
_cfg.optimizer.lr = 2.5e-5  # at batch 16
_cfg.optimizer.params.update(backbone_lr_factor=1.0, weight_decay_norm=None)
_cfg.train.clip_grad.params.max_norm = 1.0
_cfg.train.output_dir = "./output/custom_diffusiondet_r50"

globals().update(_cfg)
