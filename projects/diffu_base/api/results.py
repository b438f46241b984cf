"""What a prediction returns: the detections of each image, as boxes, tables, COCO's results, pictures."""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pycocotools.mask as mask_utils

from .drawing import drawn

COLUMNS = ("image", "class", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class ImageResult:
    """The N detections of one image, best first.

    Attributes:
        name: the image's path or address, or its place in the list, "images[3]".
        size: the image's height and width.
        boxes: (N, 4) float32, absolute xyxy in the image.
        scores: (N,) float32.
        labels: (N,) int64, the classes' numbers.
        class_names: (N), the classes' names.
        category_ids: (N), the ids of the classes in COCO's results.
        run_lengths: (N), COCO's run lengths of the masks; None for a model without masks.
        agreement: (N,) float32 in [0, 1], how well the draws of noise agree about a detection; None for one draw.
        read: returns the image's pixels, RGB (H, W, 3) uint8.
    """

    name: str
    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    category_ids: list[int]
    run_lengths: list[dict[str, Any]] | None
    agreement: np.ndarray | None
    read: Callable[[], np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def masks(self) -> np.ndarray | None:
        """(N, H, W) bool; None for a model without masks."""
        if self.run_lengths is None:
            return None
        masks = [mask_utils.decode(lengths) for lengths in self.run_lengths]
        return np.stack(masks).astype(bool) if masks else np.zeros((0, *self.size), dtype=bool)

    @property
    def uncertainty(self) -> float:
        """In [0, 1]: how little the draws of noise agree, on average over the detections; 0 without detections.

        Raises:
            ValueError: there was one draw.
        """
        if self.agreement is None:
            raise ValueError("uncertainty needs several draws: predict(..., draws=5)")
        return float(1 - self.agreement.mean()) if len(self) else 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A row for each detection, by `COLUMNS`, and `agreement` where there were several draws."""
        rows = []
        for i, box in enumerate(self.boxes.tolist()):
            values = (self.name, self.class_names[i], float(self.scores[i]), *box)
            row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
            if self.agreement is not None:
                row["agreement"] = float(self.agreement[i])
            rows.append(row)
        return rows

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """The detections in the format of COCO's results, with boxes as x, y, width, height."""
        entries = []
        for i, (x1, y1, x2, y2) in enumerate(self.boxes.tolist()):
            entry = {
                "image_id": image_id,
                "file_name": self.name,
                "category_id": self.category_ids[i],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(self.scores[i]),
            }
            if self.run_lengths is not None:
                lengths = self.run_lengths[i]
                entry["segmentation"] = {**lengths, "counts": lengths["counts"].decode("ascii")}
            if self.agreement is not None:
                entry["agreement"] = float(self.agreement[i])
            entries.append(entry)
        return entries

    def to_supervision(self) -> Any:
        """The detections as `supervision.Detections`; needs the package supervision (extra `supervision`).

        Raises:
            ValueError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ValueError("to_supervision needs the package supervision: pip install supervision") from error
        data: dict[str, Any] = {"class_name": np.array(self.class_names, dtype=str)}
        if self.agreement is not None:
            data["agreement"] = self.agreement
        return supervision.Detections(
            xyxy=self.boxes, mask=self.masks, confidence=self.scores, class_id=self.labels, data=data
        )

    def picture(self) -> np.ndarray:
        """The image with its detections drawn on it, RGB (H, W, 3) uint8."""
        labels = [f"{name} {score:.2f}" for name, score in zip(self.class_names, self.scores, strict=True)]
        return drawn(self.read(), self.boxes, labels, self.labels, self.masks)

    def __str__(self) -> str:
        counts = Counter(self.class_names)
        return f"{self.name}: {', '.join(f'{count} {name}' for name, count in counts.most_common()) or 'nothing'}"


class Results(Sequence[ImageResult]):
    """The results of all images that could be read, in their order.

    Attributes:
        unread: name -> why the image could not be read.
    """

    def __init__(self, images: Sequence[ImageResult], unread: Mapping[str, str] | None = None) -> None:
        self._images = list(images)
        self.unread = dict(unread or {})

    @overload
    def __getitem__(self, index: int) -> ImageResult: ...
    @overload
    def __getitem__(self, index: slice) -> "Results": ...
    def __getitem__(self, index: int | slice) -> "ImageResult | Results":
        """One image's result, or some of them."""
        return Results(self._images[index]) if isinstance(index, slice) else self._images[index]

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ImageResult]:
        return iter(self._images)

    def require_some(self) -> None:
        """Raise a ValueError if not a single image could be read; it says why the first could not."""
        if not self._images and self.unread:
            name, reason = next(iter(self.unread.items()))
            count = f"none of {len(self.unread)} images can be read; " if len(self.unread) > 1 else ""
            raise ValueError(f"{count}{name}: {reason}")

    def least_certain_first(self) -> "Results":
        """The results by `ImageResult.uncertainty`, largest first: the images whose labels would teach the model most.

        Raises:
            ValueError: there was one draw.
        """
        return Results(sorted(self, key=lambda image: image.uncertainty, reverse=True), self.unread)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each detection, see `ImageResult.rows`: `pandas.DataFrame(results.rows())` is a table."""
        return [row for image in self for row in image.rows()]

    def to_coco(self, image_ids: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """All detections in the format of COCO's results.

        Args:
            image_ids: file name, with or without its folders, -> the id that a data set gives the image; None numbers
                the images from 1.

        Raises:
            ValueError: an image has no id.
        """
        entries = []
        for number, image in enumerate(self, start=1):
            image_id: int | None = number
            if image_ids is not None:
                image_id = image_ids.get(image.name, image_ids.get(Path(image.name).name))
            if image_id is None:
                raise ValueError(f"image_ids has no id for {image.name!r}")
            entries += image.to_coco(image_id)
        return entries

    def write_coco(self, path: str | os.PathLike, image_ids: Mapping[str, int] | None = None) -> None:
        """Write `to_coco` as a JSON file, which annotation tools and evaluation servers take."""
        Path(path).write_text(json.dumps(self.to_coco(image_ids)), encoding="utf-8")

    def write_table(self, path: str | os.PathLike) -> None:
        """Write `rows` as a CSV file."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            columns = [*COLUMNS, "agreement"] if any(image.agreement is not None for image in self) else COLUMNS
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows())
