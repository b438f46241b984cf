"""Ablation: the linear schedule. 51.6 AP in the paper, against 51.9."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.schedule import linear_betas

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_schedule_linear"

model.diffusion.betas = L(linear_betas)(num_timesteps=100)
