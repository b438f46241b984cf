"""DiffusionInst, ResNet-50, COCO, 12 epochs. 30.4 mask AP in the paper."""

from ....configs.common.base_run import base_run
from ....configs.common.schedules import lr_multiplier_1x as lr_multiplier

dataloader, _, model, optimizer, train = base_run(__file__, "coco-r50-5x.py")
train.output_dir = "./output/diffusion_inst_r50_coco_1x"
train.max_iter = 90_000  # 12 epochs of 7,500 iterations
