"""The baseline: DINO, EfficientNet-Lite0, on your own data in COCO's format, without a GPU."""

from projects.diffu_base import get_config

_cfg = get_config("common/own_data_light_run")
_cfg.model = get_config("diffu_dino/models/dino_lite0").model
_cfg.model.num_classes = _cfg.num_classes
_cfg.train.output_dir = "./output/custom_dino_lite0_3scales"

globals().update(_cfg)
