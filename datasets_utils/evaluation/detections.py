"""The table in which evaluators keep a model's detections: NumPy arrays, one row per detection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from sys import getsizeof
from typing import Any, Self

import numpy as np
import pycocotools.mask as mask_util
from detectron2.structures import Instances
from torch import Tensor


@dataclass(frozen=True)
class DetectionTable:
    """The detections of one image or of many.

    A detection takes 32 bytes. A mask takes its compressed run lengths and about 50 bytes more.

    Attributes:
        image_ids: (N,) int64.
        boxes_xywh_abs: (N, 4) float32: left, top, width and height in pixels.
        scores: (N,) float32.
        category_ids: (N,) int32: the ids that the data set's annotation file gives to the classes.
        masks: (N,) objects of type bytes: run lengths in COCO's compressed form. None if the model predicts no masks.
        mask_sizes: (N, 2) int32: height and width of each mask. None if the model predicts no masks.
    """

    image_ids: np.ndarray
    boxes_xywh_abs: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray
    masks: np.ndarray | None = None
    mask_sizes: np.ndarray | None = None

    @classmethod
    def from_instances(cls, image_id: int, instances: Instances, category_ids: np.ndarray) -> Self:
        """Makes the table of one image from a model's output.

        Args:
            image_id: the image's id in the annotation file.
            instances: N detections with `pred_boxes`, `scores` and `pred_classes`. `pred_masks` (N, H, W) may be
                missing.
            category_ids: (K,) the data set's category id of each class.

        Raises:
            ValueError: a class is not one of the K, or a box or a score is not finite.
        """
        # The arrays are copies, because a view would keep all outputs of the model in memory.
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
    def concatenate(cls, tables: Sequence[Self]) -> Self:
        """Returns one table with the rows of all `tables`, of which there must be at least one."""
        # Empty tables are left out, as that of an image without detections may lack the columns of the masks.
        parts = [table for table in tables if len(table)] or tables[:1]
        return parts[0]._each_column(lambda name: np.concatenate([getattr(part, name) for part in parts]))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def nbytes(self) -> int:
        """The bytes that the arrays and the masks' run lengths take."""
        size = sum(getattr(self, name).nbytes for name in self._columns())
        return size if self.masks is None else size + sum(map(getsizeof, self.masks))

    def highest(self, count: int) -> Self:
        """Returns the `count` detections with the highest scores. Of equal scores the first rows are taken."""
        return self.select(np.argsort(-self.scores, kind="stable")[:count])

    def select(self, rows: np.ndarray) -> Self:
        """Returns a table of some rows, given by their numbers or by a mask (N,) bool."""
        return self._each_column(lambda name: getattr(self, name)[rows])

    def run_lengths(self) -> list[dict[str, Any]]:
        """Returns the masks in pycocotools' form, `{"size": [height, width], "counts": bytes}`.

        Raises:
            ValueError: the table has no masks.
        """
        if self.masks is None or self.mask_sizes is None:
            raise ValueError(f"these {len(self)} detections have no masks; their model must predict masks")
        pairs = zip(self.mask_sizes.tolist(), self.masks, strict=True)
        return [{"size": size, "counts": counts} for size, counts in pairs]

    def to_array(self) -> np.ndarray:
        """Returns (N, 7) float64: image id, left, top, width, height, score, category id."""
        # NumPy makes float64 of int64 and float32 columns. It holds every float32, and ids up to 2**53.
        return np.column_stack((self.image_ids, self.boxes_xywh_abs, self.scores, self.category_ids))

    def to_dicts(self, *shapes: str) -> list[dict[str, Any]]:
        """Returns one dict per detection, in COCO's result format.

        Args:
            shapes: which of the keys "bbox" and "segmentation" the dicts have. Without masks there is no
                "segmentation".
        """
        columns = {"image_id": self.image_ids.tolist(), "category_id": self.category_ids.tolist()}
        if "bbox" in shapes:
            columns["bbox"] = self.boxes_xywh_abs.tolist()
        columns["score"] = self.scores.tolist()
        if "segmentation" in shapes and self.masks is not None:
            columns["segmentation"] = self.run_lengths()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _columns(self) -> list[str]:
        """Returns the names of the columns that this table has."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def _each_column(self, change: Callable[[str], np.ndarray]) -> Self:
        """Returns a table with the columns that `change` returns for their names."""
        return type(self)(**{name: change(name) for name in self._columns()})


def _encode(mask: Tensor) -> bytes:
    """Returns the compressed run lengths of a mask, (H, W)."""
    return mask_util.encode(np.asfortranarray(mask.numpy(force=True), dtype=np.uint8))["counts"]
