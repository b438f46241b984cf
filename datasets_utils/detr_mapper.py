"""The mapper, which makes one model input of one detectron2 dataset dict."""

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

from .pixels import read_image

logger = logging.getLogger(__name__)


class DetrDatasetMapper:
    """Reads an image, augments it together with its annotations, and returns both as tensors.

    It draws from NumPy's global generator only, as detectron2's augmentations do.

    Args:
        augmentation: detectron2's augmentations, which are applied in their order.
        augmentation_with_crop: a second list of augmentations. Half of the images, drawn at random, take this list.
            None means that all images take the first.
        is_train: whether to return the annotations as "instances". If False, they are dropped.
        mask_on: whether the instances have masks (`gt_masks`).
        img_format: the order of the channels, "RGB" or "BGR".
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
        """Makes the model input of a dataset dict, and leaves the dict as it is.

        Returns:
            a copy of the dict without "annotations", and with "image" (3, H, W) uint8. In training it also has
            "instances". Their boxes are absolute xyxy, cut off at the image's border. Crowds are left out, and so are
            boxes of which the augmentation left nothing; an image may have no instances. The masks are `PolygonMasks`,
            or `BitMasks` if an annotation of the image has run lengths.

        Raises:
            ValueError: the image cannot be read, or an annotation is malformed. The error names the image file.
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
        """Reads the image (H, W, C) of a dataset dict, and adds "height" and "width" to the dict if it lacks them.

        Pillow reads the file, because it applies EXIF orientation and knows every kind of file. torchvision decodes a
        JPEG file to the same pixels, but is not faster by enough to be worth a second way of reading.
        """
        try:
            image = read_image(dataset_dict["file_name"], self.img_format)
            utils.check_image_size(dataset_dict, image)
        # Pillow raises any of these for a broken file, and most messages do not name the file.
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"cannot use image {dataset_dict['file_name']}: {error}") from error
        return image

    def to_tensor(self, image: np.ndarray) -> torch.Tensor:
        """Returns an image (H, W, C) as a tensor (C, H, W)."""
        return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))

    def instances(
        self, annotations: list[dict[str, Any]], transforms: T.TransformList, image_size: tuple[int, int]
    ) -> Instances:
        """Returns the ground truth in the augmented image.

        Args:
            annotations: those of the dataset dict. They stay as they are.
            transforms: what was done to the image.
            image_size: (H, W) of the augmented image.
        """
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
    """Returns the boxes (N, 4) of the annotations, absolute xyxy, float64.

    It converts all boxes at once. To convert one box after the other would take longer than to resize the image.
    """
    for annotation in annotations:
        box = annotation["bbox"]
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError(f"bbox is {box}; it must be 4 finite numbers (annotation {annotation.get('id', '?')})")
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    modes = np.array([annotation["bbox_mode"] for annotation in annotations])
    for mode in set(modes.tolist()) - {BoxMode.XYXY_ABS}:
        rows = modes == mode
        # detectron2 converts a single box in float32. To get the same numbers, so does this.
        boxes[rows] = BoxMode.convert(boxes[rows].astype(np.float32), BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes


def _check_masks(annotations: list[dict[str, Any]], image_size: tuple[int, int]) -> None:
    """Makes sure that all annotations but crowds have a mask, and that run lengths are of an image of this size.

    Args:
        annotations: those of the dataset dict.
        image_size: (H, W) of the image before augmentation.

    Raises:
        ValueError: an annotation has no mask, something else in its place, or run lengths of another size.
    """
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
    """Returns the masks in the augmented image of `image_size` (H, W): polygons, or bits if not all are polygons."""
    if all(isinstance(annotation["segmentation"], list) for annotation in annotations):
        return PolygonMasks([_polygons(annotation, transforms) for annotation in annotations])
    return BitMasks(np.stack([_bits(annotation, transforms, image_size) for annotation in annotations]))


def _bits(annotation: dict[str, Any], transforms: T.TransformList, image_size: tuple[int, int]) -> np.ndarray:
    """Returns the mask of an annotation in the augmented image of `image_size`, (H, W) bool."""
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return polygons_to_bitmask(_polygons(annotation, transforms), *image_size)
    if isinstance(segmentation["counts"], list):
        segmentation = mask_utils.frPyObjects(segmentation, *segmentation["size"])
    return transforms.apply_segmentation(mask_utils.decode(segmentation)).astype(bool)


def _polygons(annotation: dict[str, Any], transforms: T.TransformList) -> list[np.ndarray]:
    """Returns the polygons of an annotation in the augmented image, each as (2 n,): x0, y0, x1, y1, ...

    They may reach beyond the image. detectron2's `apply_polygons` would cut them off at the border of a crop, for which
    it needs shapely. That is not necessary, because whoever draws a polygon draws only what is inside the image.
    """
    # The arrays are float copies: transforms change coordinates in place, and would round integers.
    polygons = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in annotation["segmentation"]]
    return [transforms.apply_coords(polygon).reshape(-1) for polygon in polygons]
