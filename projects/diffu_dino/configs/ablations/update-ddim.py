"""Ablation: the correct DDIM update in place of the released one; trained as usual."""

from detectron2.config import LazyCall as L

from layers_diffu_detr.ldm.ddim import DDIMUpdate

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_update_ddim"

model.sampler.update = L(DDIMUpdate)(eta=0.0)
