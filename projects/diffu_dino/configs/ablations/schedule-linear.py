"""Ablation: the linear schedule. 51.6 AP in the paper, against 51.9."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.schedule import linear_betas
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_schedule_linear"
_cfg.model.diffusion.betas = L(linear_betas)(num_timesteps=100)

globals().update(_cfg)
