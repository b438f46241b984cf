"""DiffuDINO whose queries start from distinct proposals, ResNet-50, LVIS v1, 12 epochs.

One evaluation, at most 300 queries, no NMS. No published figure.
"""

from layers_diffu_detr.box_ops import paired_iou
from projects.diffu_base import get_config
from projects.diffu_base.config.distinct import use_distinct_queries

_cfg = get_config("diffu_dino/dino-resnet/lvis-r50-4scales-12ep")
use_distinct_queries(_cfg.model, most=300, iou_threshold=0.7)
_cfg.model.criterion.class_loss.quality = paired_iou
_cfg.train.output_dir = "./output/diffu_dino_r50_4scales_lvis_12ep_distinct"

globals().update(_cfg)
