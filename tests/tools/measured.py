"""Data for the measuring tools' tests: images of a few sizes, made from their number."""

from typing import Any

import torch
from detectron2.structures import Boxes, Instances

SIZES = ((64, 96), (96, 64), (64, 96), (128, 64))  # (height, width)


def sized_records() -> list[dict[str, Any]]:
    """Records without files, one per size."""
    return [{"image_id": i, "height": height, "width": width} for i, (height, width) in enumerate(SIZES)]


class SizedMapper:
    """Makes an image of the record's size, with two objects."""

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        size = (record["height"], record["width"])
        generator = torch.Generator().manual_seed(record["image_id"])
        image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
        boxes = Boxes(torch.tensor([[4.0, 4.0, 40.0, 30.0], [20.0, 10.0, 60.0, 50.0]]))
        return {**record, "image": image, "instances": Instances(size, gt_boxes=boxes, gt_classes=torch.tensor([0, 1]))}
