"""The baseline: DINO whose queries start from distinct proposals, ResNet-50, COCO, 12 epochs.

One evaluation, at most 300 queries, no NMS. No published figure.
"""

from projects.diffu_base import get_config
from projects.diffu_base.config.distinct import use_distinct_queries
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("diffu_dino/dino-resnet/baseline-dino-r50-4scales-50ep")
use_distinct_queries(_cfg.model, most=300, iou_threshold=0.7)
set_coco_schedule(_cfg, epochs=12)
_cfg.train.output_dir = "./output/dino_r50_4scales_12ep_distinct"

globals().update(_cfg)
