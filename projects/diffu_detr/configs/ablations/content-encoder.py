"""Ablation: the encoder's best features as content queries, in place of learned ones."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_detr/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_detr_content_encoder"
_cfg.model.transformer.tgt_embed = None

globals().update(_cfg)
