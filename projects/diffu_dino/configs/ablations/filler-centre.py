"""Ablation: boxes beside the ground truths all (0.5, 0.5, 0.5, 0.5) before they are diffused."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.denoising import CentreFiller

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_filler_centre"

model.diffused_queries.filler = L(CentreFiller)()
