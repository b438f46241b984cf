"""Ablation: 4 steps, the last one's detections among those pooled, which the released code leaves out."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ddim import AllPasses

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_evaluations_4_all"

model.sampler.num_steps = 4
model.sampler.ensemble = L(AllPasses)()
