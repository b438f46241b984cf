"""Detections as arrays: what the evaluators hold of a data set's predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from sys import getsizeof
from typing import Any, Self

import numpy as np
import pycocotools.mask as mask_util
from detectron2.structures import Instances
from torch import Tensor


@dataclass(frozen=True)
class Detections:
    """Detections of one image or many, 32 bytes each; a mask adds its compressed run lengths.

    Attributes:
        image_ids: (N,) int64.
        boxes_xywh_abs: (N, 4) float32, pixels; left, top, width, height.
        scores: (N,) float32.
        category_ids: (N,) int32, the data set's own ids.
        masks: (N,) objects, bytes: run lengths in COCO's compressed form. None where there are no masks.
        mask_sizes: (N, 2) int32, height and width. None where there are no masks.
    """

    image_ids: np.ndarray
    boxes_xywh_abs: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray
    masks: np.ndarray | None = None
    mask_sizes: np.ndarray | None = None

    @classmethod
    def from_instances(cls, image_id: int, instances: Instances, category_ids: np.ndarray) -> Self:
        """Takes the `pred_boxes`, `scores`, `pred_classes` and, if there, `pred_masks` (N, H, W) of one image.

        Args:
            category_ids: (K,) the data set's id of each class.

        Raises:
            ValueError: a class is not among the K, or a box or a score is not finite.
        """
        # Copies: a view would keep all of the model's outputs in memory.
        boxes = np.array(instances.pred_boxes.tensor.float().numpy(force=True))
        scores = np.array(instances.scores.float().numpy(force=True))
        classes = instances.pred_classes.numpy(force=True)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f"the detections in image {image_id} have boxes or scores that are not finite")
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(category_ids):
            raise ValueError(
                f"the detections in image {image_id} are of classes {classes.min()} to {classes.max()}; "
                f"the data set has {len(category_ids)} classes, from 0 on"
            )
        boxes[:, 2:] -= boxes[:, :2]
        image_ids = np.full(len(boxes), image_id, dtype=np.int64)
        columns = (image_ids, boxes, scores, category_ids[classes].astype(np.int32))
        if not instances.has("pred_masks"):
            return cls(*columns)
        masks = np.array([_encode(mask) for mask in instances.pred_masks], dtype=object)
        return cls(*columns, masks, np.full((len(boxes), 2), instances.pred_masks.shape[1:], dtype=np.int32))

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> Self:
        """Returns the detections of at least one part, one behind the other."""
        parts = [part for part in parts if len(part)] or parts[:1]  # an image without detections may lack masks
        return parts[0]._each_column(lambda name: np.concatenate([getattr(part, name) for part in parts]))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def nbytes(self) -> int:
        """Returns the bytes of the arrays and of the masks that they point to."""
        arrays = [self.image_ids, self.boxes_xywh_abs, self.scores, self.category_ids]
        if self.masks is None:
            return sum(array.nbytes for array in arrays)
        return sum(array.nbytes for array in (*arrays, self.masks, self.mask_sizes)) + sum(map(getsizeof, self.masks))

    def highest(self, count: int) -> Self:
        """Returns the `count` detections of the highest scores; among equal ones the first."""
        order = np.argsort(-self.scores, kind="stable")[:count]
        return self._each_column(lambda name: getattr(self, name)[order])

    def run_lengths(self) -> list[dict[str, Any]]:
        """Returns the masks as pycocotools has them: `{"size": [height, width], "counts": bytes}`."""
        pairs = zip(self.mask_sizes.tolist(), self.masks, strict=True)
        return [{"size": size, "counts": counts} for size, counts in pairs]

    def to_array(self) -> np.ndarray:
        """Returns (N, 7) float64: image id, left, top, width, height, score, category id."""
        # int64 and float32 together become float64, which holds both.
        return np.column_stack((self.image_ids, self.boxes_xywh_abs, self.scores, self.category_ids))

    def to_dicts(self, *shapes: str) -> list[dict[str, Any]]:
        """Returns one dict per detection in COCO's result format, with `shapes` of "bbox" and, where there are masks,
        "segmentation"."""
        columns = {"image_id": self.image_ids.tolist(), "category_id": self.category_ids.tolist()}
        if "bbox" in shapes:
            columns["bbox"] = self.boxes_xywh_abs.tolist()
        columns["score"] = self.scores.tolist()
        if "segmentation" in shapes and self.masks is not None:
            columns["segmentation"] = self.run_lengths()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _each_column(self, column: Callable[[str], np.ndarray]) -> Self:
        names = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return type(self)(**{name: column(name) for name in names})


def _encode(mask: Tensor) -> bytes:
    """Returns the compressed run lengths of a mask, (H, W)."""
    return mask_util.encode(np.asfortranarray(mask.numpy(force=True), dtype=np.uint8))["counts"]
