"""The baseline: DINO, Swin-B, V3Det, 24 epochs. 42.0 AP in the paper."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-swin/v3det-swin-4scales-24ep")
_cfg.model = get_config("diffu_dino/models/dino_swin_base_384").model
_cfg.model.num_classes = 13204
_cfg.train.output_dir = "./output/dino_swin_base_384_4scales_v3det_24ep"

globals().update(_cfg)
