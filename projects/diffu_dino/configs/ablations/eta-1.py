"""Ablation: fresh noise in every update, as much as DDPM's (eta = 1); trained as usual."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ddim import ReleasedUpdate

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_eta_1"

model.sampler.update = L(ReleasedUpdate)(eta=1.0)
