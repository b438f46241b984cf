"""DiffusionInst, ResNet-50, on your own data in COCO's format, with masks."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/diffusiondet-custom-r50")
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_r50").model
_cfg.model.num_classes = _cfg.num_classes
_cfg.dataloader.train.mapper.mask_on = True
_cfg.train.output_dir = "./output/custom_diffusion_inst_r50"

globals().update(_cfg)
