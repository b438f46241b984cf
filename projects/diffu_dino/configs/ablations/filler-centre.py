"""Ablation: boxes beside the ground truths all (0.5, 0.5, 0.5, 0.5) before they are diffused."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.denoising import CentreFiller
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_filler_centre"
_cfg.model.diffused_queries.filler = L(CentreFiller)()

globals().update(_cfg)
