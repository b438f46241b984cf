"""Ablation: the paper's timestep conditioning, one embedding added after self-attention."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.conditioning import AdditiveConditioning
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_conditioning_additive"
_cfg.model.transformer.decoder.conditioning = L(AdditiveConditioning)(embed_dim="${....embed_dim}")

globals().update(_cfg)
