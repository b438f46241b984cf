"""DiffusionInst, ResNet-50, COCO, 36 epochs. 35.6 mask AP in the paper."""

from ....configs.common.base_run import base_run
from ....configs.common.schedules import lr_multiplier_3x as lr_multiplier

dataloader, _, model, optimizer, train = base_run(__file__, "coco-r50-5x.py")
train.output_dir = "./output/diffusion_inst_r50_coco_3x"
train.max_iter = 270_000  # 36 epochs of 7,500 iterations
