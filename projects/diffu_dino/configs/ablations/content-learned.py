"""Ablation: learned content queries in place of the encoder's best features."""

from detectron2.config import LazyCall as L
from torch import nn

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_content_learned"
_cfg.model.transformer.tgt_embed = L(nn.Embedding)(num_embeddings="${...num_queries}", embedding_dim="${...embed_dim}")

globals().update(_cfg)
