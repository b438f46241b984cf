"""A small DiffuDINO whose queries start from distinct proposals: one evaluation, no NMS. On digit scenes."""

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_base import get_config
from projects.diffu_base.config.distinct import use_distinct_queries

_cfg = get_config("diffu_dino/demo/digits")
_cfg.update(get_config("common/digits_long"))
use_distinct_queries(_cfg.model, most=40)
_cfg.model.criterion.class_loss.quality = paired_iou
_cfg.train.output_dir = "./output/digits_distinct"

globals().update(_cfg)
