"""Ablation: the sqrt schedule. 51.4 AP in the paper, against 51.9."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.schedule import sqrt_betas
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_schedule_sqrt"
_cfg.model.diffusion.betas = L(sqrt_betas)(num_timesteps=100)

globals().update(_cfg)
