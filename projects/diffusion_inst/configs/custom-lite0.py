"""DiffusionInst, EfficientNet-Lite0, on your own data in COCO's format, with masks, without a GPU."""

from projects.diffu_base import get_config

_cfg = get_config("common/own_data_light_run")
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_lite0").model
_cfg.model.num_classes = _cfg.num_classes
_cfg.dataloader.train.mapper.mask_on = True
_cfg.train.clip_grad.params.max_norm = 1.0
_cfg.train.output_dir = "./output/custom_diffusion_inst_lite0"

globals().update(_cfg)
