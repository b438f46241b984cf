"""Ablation: fresh noise in every update, as much as DDPM's (eta = 1); trained as usual."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ddim import ReleasedUpdate
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_eta_1"
_cfg.model.sampler.update = L(ReleasedUpdate)(eta=1.0)

globals().update(_cfg)
