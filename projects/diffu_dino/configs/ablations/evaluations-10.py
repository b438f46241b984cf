"""Ablation: 10 decoder evaluations, trained as usual. 51.4 AP in the paper, against 51.9 with 3."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_evaluations_10"

model.sampler.num_steps = 10
