"""Ablation: the paper's timestep conditioning, one embedding added after self-attention."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.bbox_embedd import AdditiveConditioning

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_conditioning_additive"

model.transformer.decoder.conditioning = L(AdditiveConditioning)(embed_dim="${....embed_dim}")
