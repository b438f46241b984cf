"""Ablation: 1 decoder evaluation, trained as usual. 51.6 AP in the paper, against 51.9 with 3."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_evaluations_1"
_cfg.model.sampler.num_steps = 1

globals().update(_cfg)
