"""From one detectron2 dataset dict to one model input."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.structures.masks import polygons_to_bitmask
from pycocotools import mask as mask_utils

logger = logging.getLogger(__name__)


class DetrDatasetMapper:
    """Reads an image, augments it together with its annotations, and returns tensors.

    Draws from numpy's global generator only, as detectron2's augmentations do.

    Args:
        augmentation: detectron2 augmentations, applied in order.
        augmentation_with_crop: a second list; each image takes either one with probability 1/2. None: always the first.
        is_train: return "instances"; otherwise annotations are dropped.
        mask_on: keep instance masks (`gt_masks`).
        img_format: what `detectron2.data.detection_utils.read_image` takes, e.g. "RGB".
    """

    def __init__(
        self,
        augmentation: Sequence[T.Augmentation | T.Transform],
        augmentation_with_crop: Sequence[T.Augmentation | T.Transform] | None,
        is_train: bool = True,
        mask_on: bool = False,
        img_format: str = "RGB",
    ) -> None:
        self.augmentation = T.AugmentationList(augmentation)
        self.augmentation_with_crop = (
            None if augmentation_with_crop is None else T.AugmentationList(augmentation_with_crop)
        )
        self.is_train = is_train
        self.mask_on = mask_on
        self.img_format = img_format
        logger.info("Augmentations: %s; with crop: %s", self.augmentation, self.augmentation_with_crop)

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Maps a dataset dict, which is left as it is.

        Returns:
            the dict without "annotations", with "image" (3, H, W) uint8 and, in training, "instances": boxes in
            absolute xyxy clipped to the image, crowds and boxes that augmentation emptied left out; empty for an
            image without annotations. Masks are `PolygonMasks`, in an image with run lengths `BitMasks`.

        Raises:
            ValueError: the image cannot be read or an annotation is malformed; names the file.
        """
        mapped = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        image = self.read(mapped)
        inputs = T.AugInput(image)
        transforms = self._pick_augmentation()(inputs)
        mapped["image"] = self.to_tensor(inputs.image)
        if self.is_train:
            annotations = dataset_dict.get("annotations", [])
            try:
                if self.mask_on:
                    _check_masks(annotations, image.shape[:2])
                mapped["instances"] = self.instances(annotations, transforms, inputs.image.shape[:2])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"annotations of {mapped['file_name']}: {error}") from error
        return mapped

    def read(self, dataset_dict: dict[str, Any]) -> np.ndarray:
        """The image (H, W, C) of `dataset_dict`, which receives "height" and "width" where it lacks them.

        Pillow reads: it honours EXIF orientation and knows every kind of file. torchvision's decoder gives the same
        pixels of a JPEG file, but is too little faster to keep a second way of reading.
        """
        try:
            image = utils.read_image(dataset_dict["file_name"], format=self.img_format)
            utils.check_image_size(dataset_dict, image)
        # Pillow reports broken files as OSError, SyntaxError or ValueError, mostly without the name.
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"cannot use image {dataset_dict['file_name']}: {error}") from error
        return image

    def to_tensor(self, image: np.ndarray) -> torch.Tensor:
        """From (H, W, C) to (C, H, W)."""
        return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))

    def instances(
        self, annotations: list[dict[str, Any]], transforms: T.TransformList, image_size: tuple[int, int]
    ) -> Instances:
        """Ground truth in the transformed image, whose size is `image_size` (H, W); `annotations` stay as they are."""
        annotations = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
        height, width = image_size
        boxes_xyxy = transforms.apply_box(_boxes_xyxy(annotations)).clip(0, [width, height, width, height])
        instances = Instances(image_size)
        instances.gt_boxes = Boxes(boxes_xyxy)
        instances.gt_classes = torch.tensor([int(annotation["category_id"]) for annotation in annotations]).long()
        if self.mask_on:
            instances.gt_masks = _masks(annotations, transforms, image_size)
        return utils.filter_empty_instances(instances)

    def _pick_augmentation(self) -> T.AugmentationList:
        if self.augmentation_with_crop is None or np.random.rand() > 0.5:
            return self.augmentation
        return self.augmentation_with_crop


def _boxes_xyxy(annotations: list[dict[str, Any]]) -> np.ndarray:
    """Absolute corners (N, 4), float64, of all annotations at once; one by one they would take longer than resizing."""
    for annotation in annotations:
        box = annotation["bbox"]
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError(f"bbox is {box}; it must be 4 finite numbers (annotation {annotation.get('id', '?')})")
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    modes = np.array([annotation["bbox_mode"] for annotation in annotations])
    for mode in set(modes.tolist()) - {BoxMode.XYXY_ABS}:
        rows = modes == mode
        # In float32, as detectron2 converts a single box, to get its very numbers.
        boxes[rows] = BoxMode.convert(boxes[rows].astype(np.float32), BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes


def _check_masks(annotations: list[dict[str, Any]], image_size: tuple[int, int]) -> None:
    """Refuse annotations, crowds aside, that have no mask, or run lengths that are not of `image_size` (H, W)."""
    for annotation in annotations:
        if annotation.get("iscrowd", 0):
            continue
        name = f"annotation {annotation.get('id', '?')}"
        if "segmentation" not in annotation:
            raise ValueError(f"{name} has no segmentation, which mask_on=True asks for")
        segmentation = annotation["segmentation"]
        if not isinstance(segmentation, list | dict):
            raise ValueError(
                f"segmentation is a {type(segmentation).__name__}; it must be polygons or run lengths ({name})"
            )
        if isinstance(segmentation, dict) and tuple(segmentation["size"]) != tuple(image_size):
            (height, width), (h, w) = image_size, segmentation["size"]
            raise ValueError(f"segmentation is of a {h} x {w} image; this one is {height} x {width} ({name})")


def _masks(
    annotations: list[dict[str, Any]], transforms: T.TransformList, image_size: tuple[int, int]
) -> PolygonMasks | BitMasks:
    """The masks in the transformed image, whose size is `image_size` (H, W): bits where not all are polygons."""
    if all(isinstance(annotation["segmentation"], list) for annotation in annotations):
        return PolygonMasks([_polygons(annotation, transforms) for annotation in annotations])
    return BitMasks(np.stack([_bits(annotation, transforms, image_size) for annotation in annotations]))


def _bits(annotation: dict[str, Any], transforms: T.TransformList, image_size: tuple[int, int]) -> np.ndarray:
    """The transformed mask of an annotation, polygons or run lengths: (H, W) bool."""
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return polygons_to_bitmask(_polygons(annotation, transforms), *image_size)
    if isinstance(segmentation["counts"], list):
        segmentation = mask_utils.frPyObjects(segmentation, *segmentation["size"])
    return transforms.apply_segmentation(mask_utils.decode(segmentation)).astype(bool)


def _polygons(annotation: dict[str, Any], transforms: T.TransformList) -> list[np.ndarray]:
    """The transformed polygons of an annotation, (2 n,) each: x, y in turn. They may reach beyond the image.

    Not `apply_polygons`, which cuts them off at the border of a crop: drawing them does so anyway, and without shapely.
    """
    # Copies, as transforms change coordinates in place; not of integers, which would be rounded.
    polygons = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in annotation["segmentation"]]
    return [transforms.apply_coords(polygon).reshape(-1) for polygon in polygons]
