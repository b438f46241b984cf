"""A tiny model, data set and evaluator, with all that a run depends on: order, augmentation, noise, buffers."""

import math
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn


class TinyDetector(nn.Module):
    """Regresses one box per image from 3 x 8 x 8 pixels.

    Args:
        noise: standard deviation of noise from torch's global generator.
        nan_at: forward pass in training (counted from 0, over this module's life) whose loss is NaN; -1: none.
    """

    def __init__(self, noise: float = 0.1, nan_at: int = -1) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.head = nn.Linear(4 * 16, 4)
        self.noise = noise
        self.nan_at = nan_at
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        device = self.head.weight.device
        images = torch.stack([x["image"] for x in batched_inputs]).to(device)
        features = self.backbone(images)
        if self.training:
            self.norm(features.detach())  # running statistics: buffers that change; the output is of no use
            features = features + self.noise * torch.randn_like(features)
        boxes = self.head(features.relu().flatten(1))
        if not self.training:
            return [{"instances": Instances((8, 8), pred_boxes=Boxes(box[None].float()))} for box in boxes]
        target = torch.stack([x["instances"].gt_boxes.tensor[0] for x in batched_inputs]).to(device)
        error = boxes.float() - target
        scale = math.nan if int(self.passes) == self.nan_at else 1.0
        self.passes += 1
        return {"loss_l1": error.abs().mean(), "loss_l2": scale * error.square().mean()}


def tiny_dataset(size: int = 12) -> list[dict[str, Any]]:
    """Records without files: the mapper makes the pixels from the id."""
    return [{"image_id": i, "width": 8 + i % 2, "height": 8} for i in range(size)]


class TinyMapper:
    """Makes an image that the id determines, with augmentation from numpy's global generator."""

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        pixels = torch.from_numpy(np.random.default_rng(record["image_id"]).random((3, 8, 8), dtype=np.float32))
        pixels += 0.1 * float(np.random.rand())
        boxes = Boxes(pixels.mean((0, 2))[None, :4])
        instances = Instances((8, 8), gt_boxes=boxes, gt_classes=torch.zeros(1, dtype=torch.int64))
        return {**record, "image": pixels, "instances": instances}


class TinyEvaluator(DatasetEvaluator):
    """AP is the mean of the predictions: any change of the weights shows."""

    def reset(self) -> None:
        self.values: list[float] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        torch.rand(3)  # an evaluation that draws random numbers must not change the training
        self.values += [float(x["instances"].pred_boxes.tensor.mean()) for x in outputs]

    def evaluate(self) -> dict[str, dict[str, float]]:
        return {"bbox": {"AP": float(np.mean(self.values)), "AP50": math.nan}}
