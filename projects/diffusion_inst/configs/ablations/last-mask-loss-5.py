"""Ablation: the mask loss on the last head alone, with weight 5. 35.1 mask AP in the paper, against 37.3."""

from detectron2.config import LazyCall as L

from projects.diffusion_inst.modeling.criterion import LastHead

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_last_mask_loss_5"

model.criterion.supervised = L(LastHead)()
