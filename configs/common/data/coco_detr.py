"""COCO 2017 with the augmentation of DETR: multi-scale resizing, a random crop before it for half of the images."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import get_detection_dataset_dicts
from omegaconf import OmegaConf

from datasets_utils import (
    CocoStyleEvaluator,
    DetrDatasetMapper,
    FastResizeShortestEdge,
    build_test_loader,
    build_train_loader,
)

TRAIN_SHORT_EDGES = tuple(range(480, 801, 32))

dataloader = OmegaConf.create()

dataloader.train = L(build_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_train"),
    mapper=L(DetrDatasetMapper)(
        augmentation=[
            L(T.RandomFlip)(),
            L(FastResizeShortestEdge)(short_edge_length=TRAIN_SHORT_EDGES, max_size=1333, sample_style="choice"),
        ],
        augmentation_with_crop=[
            L(T.RandomFlip)(),
            L(FastResizeShortestEdge)(short_edge_length=(400, 500, 600), sample_style="choice"),
            L(T.RandomCrop)(crop_type="absolute_range", crop_size=(384, 600)),
            L(FastResizeShortestEdge)(short_edge_length=TRAIN_SHORT_EDGES, max_size=1333, sample_style="choice"),
        ],
        is_train=True,
        mask_on=False,
        img_format="${oc.select:model.input_format,RGB}",  # the order of channels that the model expects
    ),
    total_batch_size=16,
    num_workers=4,
    seed=0,
    aspect_ratio_grouping=True,
)

dataloader.test = L(build_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
    mapper=L(DetrDatasetMapper)(
        # detectron2's resizing, which is Pillow's, instead of the fast one: a published checkpoint then sees the very
        # pixels that its published AP was measured on.
        augmentation=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
        augmentation_with_crop=None,
        is_train=False,
        mask_on=False,
        img_format="${...train.mapper.img_format}",
    ),
    batch_size=1,
    num_workers=4,
)

dataloader.evaluator = L(CocoStyleEvaluator)(
    dataset_name="${..test.dataset.names}",
    backend="auto",  # takes the fastest package that is installed
    max_dets=100,  # per image and class, COCO's own number
    output_dir=None,
)
