"""Ablation: noise from a normal squashed by a sigmoid. 50.4 AP in the paper, against 51.9."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.diffusion import SigmoidNoise

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_noise_sigmoid"

model.diffusion.noise = L(SigmoidNoise)(scale="${..signal_scale}")
