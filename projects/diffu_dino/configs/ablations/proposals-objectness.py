"""Ablation: proposals ranked and trained by class 0 alone, as objectness: for vocabularies in thousands."""

from detectron2.config import LazyCall as L

from projects.diffu_detr.modeling.proposals import ChosenObjectness, FirstClassScore

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_proposals_objectness"

model.transformer.ranking = L(FirstClassScore)()
model.transformer.supervision = L(ChosenObjectness)()
