"""The baseline: Align-DETR whose queries start from distinct proposals, ResNet-50, COCO, 24 epochs.

One evaluation, at most 300 queries, no NMS. No published figure.
"""

from projects.diffu_base import get_config
from projects.diffu_base.config.distinct import use_distinct_queries

_cfg = get_config("diffu_align_detr/baseline-aligndetr-r50-4scales-24ep")
use_distinct_queries(_cfg.model, most=300, iou_threshold=0.7)
_cfg.train.output_dir = "./output/aligndetr_r50_4scales_24ep_distinct"

globals().update(_cfg)
