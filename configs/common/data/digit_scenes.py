"""Digit scenes: what `tools/build_digit_scenes.py` builds, and its loaders. A delta of the COCO loaders."""

from detectron2.config import LazyCall as L

from datasets_utils import FastResizeShortestEdge
from datasets_utils.digit_scenes import DigitSceneSettings
from projects.diffu_base import get_config

dataloader = get_config("common/data/coco_detr").dataloader

digit_scenes = L(DigitSceneSettings)(
    num_train=1000,
    num_val=100,
    image_size=(136, 168),
    num_digits=(2, 12),
    digit_size=(28, 52),
    crowded_fraction=0.25,
    min_visible=0.6,
    seed=0,
)

dataloader.train.dataset.names = "digit_scenes_train"
# No flips: a mirrored digit is another sign.
dataloader.train.mapper.augmentation = [
    L(FastResizeShortestEdge)(short_edge_length=tuple(range(120, 161, 8)), max_size=208, sample_style="choice"),
]
dataloader.train.mapper.augmentation_with_crop = None
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0

dataloader.test.dataset.names = "digit_scenes_val"
dataloader.test.mapper.augmentation = []
dataloader.test.batch_size = 4
dataloader.test.num_workers = 0
