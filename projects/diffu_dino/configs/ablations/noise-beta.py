"""Ablation: noise from a Beta distribution. 49.5 AP in the paper, against 51.9."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.diffusion import BetaNoise
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_noise_beta"
_cfg.model.diffusion.noise = L(BetaNoise)(scale="${..signal_scale}")

globals().update(_cfg)
