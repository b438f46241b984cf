"""Ablation: the encoder's best features as content queries, in place of learned ones."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_detr_content_encoder"

model.transformer.tgt_embed = None
