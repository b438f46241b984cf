"""Ablation: the correct DDIM update in place of the released one; trained as usual."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ddim import DDIMUpdate
from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_update_ddim"
_cfg.model.sampler.update = L(DDIMUpdate)(eta=0.0)

globals().update(_cfg)
