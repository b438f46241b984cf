"""A model that knows the answers."""

from typing import Any

import torch
from detectron2.structures import Boxes, Instances


class GroundTruthModel(torch.nn.Module):
    """Answers with the annotations, and with as many worthless detections as a DETR returns."""

    def __init__(self, scenes: list[dict[str, Any]]) -> None:
        super().__init__()
        self.scenes = {s["image_id"]: s for s in scenes}

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        return [{"instances": self.detect(self.scenes[inputs["image_id"]])} for inputs in batched_inputs]

    def detect(self, scene: dict[str, Any]) -> Instances:
        boxes = torch.tensor([a["bbox"] for a in scene["annotations"]], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        padding = 300 - len(boxes)
        instances = Instances((scene["height"], scene["width"]))
        instances.pred_boxes = Boxes(torch.cat([boxes, torch.tensor([[0.0, 0, 1, 1]]).repeat(padding, 1)]))
        instances.scores = torch.cat([torch.full((len(boxes),), 0.9), torch.full((padding,), 0.01)])
        instances.pred_classes = torch.tensor([a["category_id"] for a in scene["annotations"]] + [0] * padding)
        return instances
