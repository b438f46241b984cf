"""Ablation: in training, a further group of queries of which four answer each object; inference has no such group."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_detr.modeling.queries import OneToManyQueries

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_one_to_many"
_cfg.model.auxiliary_queries = L(OneToManyQueries)(matches=4)
_cfg.model.criterion.weight_dict.update(
    loss_class_many="${.loss_class}", loss_bbox_many="${.loss_bbox}", loss_giou_many="${.loss_giou}"
)

globals().update(_cfg)
