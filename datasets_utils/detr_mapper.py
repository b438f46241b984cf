"""From one detectron2 dataset dict to one model input."""

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Instances, PolygonMasks

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
            image without annotations.

        Raises:
            ValueError: the image cannot be read or an annotation is malformed; names the file.
        """
        mapped = copy.deepcopy(dataset_dict)
        annotations = mapped.pop("annotations", [])
        image = self._read(mapped)
        inputs = T.AugInput(image)
        transforms = self._pick_augmentation()(inputs)
        mapped["image"] = torch.as_tensor(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))
        if self.is_train:
            try:
                mapped["instances"] = self._instances(annotations, transforms, inputs.image.shape[:2])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"annotations of {mapped['file_name']}: {error}") from error
        return mapped

    def _read(self, dataset_dict: dict[str, Any]) -> np.ndarray:
        try:
            image = utils.read_image(dataset_dict["file_name"], format=self.img_format)
            utils.check_image_size(dataset_dict, image)
        # Pillow reports broken files as OSError, SyntaxError or ValueError, mostly without the name.
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"cannot use image {dataset_dict['file_name']}: {error}") from error
        return image

    def _pick_augmentation(self) -> T.AugmentationList:
        if self.augmentation_with_crop is None or np.random.rand() > 0.5:
            return self.augmentation
        return self.augmentation_with_crop

    def _instances(
        self, annotations: list[dict[str, Any]], transforms: T.TransformList, image_size: tuple[int, int]
    ) -> Instances:
        unused = {"keypoints"} if self.mask_on else {"keypoints", "segmentation"}
        transformed = []
        for annotation in annotations:
            if annotation.get("iscrowd", 0):
                continue
            box = annotation["bbox"]
            if len(box) != 4 or not np.isfinite(box).all():
                raise ValueError(f"bbox is {box}; it must be 4 finite numbers (annotation {annotation.get('id', '?')})")
            kept = {key: value for key, value in annotation.items() if key not in unused}
            transformed.append(utils.transform_instance_annotations(kept, transforms, image_size))
        instances = utils.annotations_to_instances(transformed, image_size)
        if self.mask_on and not transformed:
            instances.gt_masks = PolygonMasks([])
        return utils.filter_empty_instances(instances)
