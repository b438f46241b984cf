"""DiffuDETR, ResNet-50, on your own data in COCO's format."""

from projects.diffu_base import get_config

_cfg = get_config("common/own_data_run")
_cfg.model = get_config("diffu_detr/models/diffu_detr_r50").model
_cfg.model.num_classes = _cfg.num_classes
_cfg.train.output_dir = "./output/custom_diffu_detr_r50_4scales"

globals().update(_cfg)
