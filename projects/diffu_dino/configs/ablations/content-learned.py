"""Ablation: learned content queries in place of the encoder's best features."""

from detectron2.config import LazyCall as L
from torch import nn

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_content_learned"

model.transformer.tgt_embed = L(nn.Embedding)(num_embeddings="${...num_queries}", embedding_dim="${...embed_dim}")
