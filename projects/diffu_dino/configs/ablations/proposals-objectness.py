"""Ablation: proposals ranked and trained by class 0 alone, as objectness: for vocabularies in thousands."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_detr.modeling.proposals import ChosenObjectness, ObjectnessScore

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_proposals_objectness"
_cfg.model.transformer.ranking = L(ObjectnessScore)()
_cfg.model.transformer.supervision = L(ChosenObjectness)()

globals().update(_cfg)
