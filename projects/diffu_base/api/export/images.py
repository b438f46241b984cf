"""Images to check an exported detector on, resized to the sizes of the graph."""

from collections.abc import Iterator, Sequence

import numpy as np
from detectron2.data import transforms as T
from numpy import ndarray


def batches(
    images: Sequence[ndarray], size: tuple[int, int], batch: int, *, any_size: bool, divisor: int = 1
) -> Iterator[ndarray]:
    """Float images (B, 3, H, W) for a graph.

    Args:
        images: (h, w, 3) uint8 each; the first ones fill the last batch.
        size: height and width of the graph.
        batch: B.
        any_size: whether the graph takes other sizes too. Then each batch keeps the shape of its first image, and has
            the largest size that fits into `size`.
        divisor: both sides are multiples of it; `size` must be.
    """
    for start in range(0, len(images), batch):
        part = [images[i % len(images)] for i in range(start, start + batch)]
        height, width = fitting(part[0].shape[:2], size, divisor) if any_size else size
        yield np.stack([_resized(image, height, width).transpose(2, 0, 1) for image in part]).astype(np.float32)


def fitting(shape: Sequence[int], size: Sequence[int], divisor: int = 1) -> tuple[int, int]:
    """The largest height and width in the proportion of `shape` that fit into `size`, as multiples of `divisor`.

    For an upright image, a wide `size` is turned by a quarter, and the other way round.
    """
    if (shape[0] > shape[1]) != (size[0] > size[1]):
        size = size[::-1]
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(side * scale / divisor)) * divisor for side in shape)
    return height, width


def _resized(image: ndarray, height: int, width: int) -> ndarray:
    return T.ResizeTransform(*image.shape[:2], height, width).apply_image(image)
