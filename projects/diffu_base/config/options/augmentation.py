"""Augmentations of images, in training and at test time."""

import sys
from typing import Literal

from pydantic import Field

from .base import Options
from .kinds import Count, Part, Share
from .registry import explains


@explains("detectron2.data.transforms.augmentation_impl.ResizeShortestEdge")
class ResizeOptions(Options):
    """Resizes an image so that its shorter edge has a certain length (detectron2, with Pillow)."""

    short_edge_length: Count | list[Count] = Field(
        description="Length of the shorter edge in pixels; or a list, see `sample_style`."
    )
    max_size: Count = Field(
        sys.maxsize, description="The longer edge in pixels is at most this; the whole image shrinks to fit."
    )
    sample_style: Literal["range", "choice"] = Field(
        "range",
        description="`choice` takes one of the lengths at random; `range` any length between two that are given.",
    )
    interp: int = Field(2, description="Interpolation of the pixels, by Pillow's number: 2 is bilinear.")


@explains("datasets_utils.transforms.FastResizeShortestEdge")
class FastResizeOptions(ResizeOptions):
    """`ResizeShortestEdge` with PyTorch's faster kernel, for training; pixels differ by a level here and there."""


@explains("detectron2.data.transforms.augmentation_impl.RandomFlip")
class FlipOptions(Options):
    """Mirrors an image and its annotations at random (detectron2)."""

    prob: Share = Field(0.5, description="The probability that an image is mirrored.")
    horizontal: bool = Field(True, description="Left and right change places.")
    vertical: bool = Field(False, description="Top and bottom change places. Only one of the two may be true.")


@explains("detectron2.data.transforms.augmentation_impl.RandomCrop")
class CropOptions(Options):
    """Cuts a random rectangle out of an image (detectron2)."""

    crop_type: Literal["relative", "relative_range", "absolute", "absolute_range"] = Field(
        description="What `crop_size` says. `absolute_range`: the least and the greatest side in pixels. `absolute`: "
        "height and width in pixels. `relative` and `relative_range`: shares of the image's height and width."
    )
    crop_size: list[float] = Field(min_length=2, max_length=2, description="Two numbers, see `crop_type`.")


@explains("projects.diffu_base.modeling.augmented_detector.AugmentedDetector")
class AugmentedDetectorOptions(Options):
    """Test-time augmentation: detects in several variants of an image and merges the detections."""

    model: Part | None = Field(None, description="The detector. The evaluation sets it.")
    variants: Part = Field(description="Makes the variants of an image: `DatasetMapperTTA`.")
    nms: Part = Field(description="Merges the detections of all variants: `ClassWiseNMS`.")
    max_detections: Count = Field(description="Detections that are kept per image.")


@explains("detectron2.modeling.test_time_augmentation.DatasetMapperTTA")
class VariantsOptions(Options):
    """Copies of an image in several sizes, each also mirrored (detectron2)."""

    min_sizes: list[Count] = Field(description="Lengths of the shorter edge, in pixels; one copy for each.")
    max_size: Count = Field(description="The longer edge in pixels is at most this.")
    flip: bool = Field(description="Every copy also comes mirrored.")
