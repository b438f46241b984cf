"""The demo with two-stage Deformable DETR, DiffuDETR's baseline: small, on digit scenes."""

from projects.diffu_base import get_config
from projects.diffu_base.config.small import make_small

_cfg = get_config("common/digits_demo")
_cfg.model = get_config("diffu_detr/models/deformable_detr_r50").model
make_small(_cfg.model)
_cfg.train.output_dir = "./output/digits_deformable_detr"

globals().update(_cfg)
