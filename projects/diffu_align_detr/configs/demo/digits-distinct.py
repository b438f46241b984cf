"""A small DiffuAlignDETR whose queries start from distinct proposals: one evaluation, no NMS. On digit scenes."""

from projects.diffu_base import get_config
from projects.diffu_base.config.distinct import use_distinct_queries

_cfg = get_config("diffu_align_detr/demo/digits")
_cfg.update(get_config("common/digits_long"))
use_distinct_queries(_cfg.model, most=40)
_cfg.train.output_dir = "./output/digits_diffualign_distinct"

globals().update(_cfg)
