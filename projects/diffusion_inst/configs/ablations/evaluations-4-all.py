"""Ablation: 4 steps, the last one's detections among those pooled, which the released code leaves out."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ensemble import AllPasses
from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_evaluations_4_all"
_cfg.model.sampler.num_steps = 4
_cfg.model.sampler.ensemble = L(AllPasses)()

globals().update(_cfg)
