"""The demo with Align-DETR, DiffuAlignDETR's baseline: small, on digit scenes."""

from projects.diffu_base import get_config
from projects.diffu_base.config.small import make_small

_cfg = get_config("common/digits_demo")
_cfg.model = get_config("diffu_align_detr/models/aligndetr_r50").model
make_small(_cfg.model)
_cfg.train.output_dir = "./output/digits_aligndetr"

globals().update(_cfg)
