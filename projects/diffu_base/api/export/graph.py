"""A detector as a function of tensors: from images and noise to detections of a fixed number."""

import copy
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from layers_diffu_detr.ldm.ddim import Sampler
from layers_diffu_detr.ldm.diffusion import NoiseSource
from layers_diffu_detr.ldm.passes import DenoisingPass, PassPrediction
from layers_diffu_detr.ldm.renewal import FixedRenewal, TimeRenewal
from layers_diffu_detr.ldm.starts import GaussianStart, ProposalStart
from layers_diffu_detr.postprocess import ClassWiseNMS, Detections, best_pairs, rows_at
from projects.diffu_base.modeling.detector import Detector

from .suppression import Suppression

NO_CLASS = -1  # of a row without detection
NO_SCORE = -1.0  # of a suppressed detection
# What a graph can hold in the sampler's slots. Other objects compute with numbers of queries or passes that depend on
# the image, or draw from generators of their own.
SLOTS = {
    "start": (GaussianStart, ProposalStart),
    "renewal": (TimeRenewal, FixedRenewal, type(None)),
    "stop": (type(None),),
    "merge": (ClassWiseNMS, type(None)),
}


class Found(NamedTuple):
    """The detections of a batch of images, N for each, best first. Rows of class -1 and score 0 are no detections.

    Attributes:
        boxes: (B, N, 4) xyxy in pixels of the images that went in.
        scores: (B, N).
        classes: (B, N) int64.
        masks: (B, N, H, W) bool; None for a model without masks.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """The fields that the model has, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class GivenNoise(NoiseSource):
    """Returns the noise that it is given, draw after draw.

    Args:
        noise: (B, D, Q, 4), D draws.
    """

    def __init__(self, noise: Tensor) -> None:
        self.shape = (noise.shape[0], noise.shape[2], 4)
        self.device = noise.device
        self.generators = None
        self._draws = iter(noise.unbind(1))

    def __call__(self) -> Tensor:
        return next(self._draws)


class CountedNoise(NoiseSource):
    """Zeros in the place of noise. The attribute `draws` counts how often they are drawn."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self.shape, self.device, self.generators = shape, device, None
        self.draws = 0

    def __call__(self) -> Tensor:
        self.draws += 1
        return torch.zeros(self.shape, device=self.device)


class DetectorInGraph(Detector):
    """What a detector does otherwise in a graph; stands before the detector's own class.

    Its sampler takes the noise that comes with the inputs, and the number of detections depends on no value.
    """

    suppress: Suppression

    def noise_source(self, batched_inputs: list[dict]) -> NoiseSource | None:
        """The noise of the batch, which comes with the first input."""
        return batched_inputs[0]["draw"]

    def prediction(
        self, logits: Tensor, boxes: Tensor, filters: Tensor | None = None, valid: Tensor | None = None
    ) -> PassPrediction:
        """See `Detector.prediction`; the detections are one table for the batch."""
        assert valid is None, "all queries count, see SLOTS"
        table = best_pairs(logits, boxes, self.select_box_nums_for_evaluation, filters)
        return PassPrediction(boxes, logits.max(dim=-1).values.float().sigmoid(), table)

    def postprocess(
        self, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """See `Detector.postprocess`. Each image gets the same number of rows; some may be no detections."""
        counted = self.sampler.ensemble(passes)
        pooled = Detections.cat([each.prediction.outputs for each in counted], dim=1)
        scores = self._suppressed(pooled, len(counted))
        best, rows = scores.topk(min(self.select_box_nums_for_evaluation, scores.shape[1]), dim=1)
        height, width = images[0].shape[-2:]
        size = torch.tensor([width, height, width, height], dtype=torch.float32, device=best.device)
        boxes = (rows_at(pooled.boxes_xyxy, rows) * size).clamp(min=0).minimum(size)
        counts = (best > NO_SCORE) & (boxes[..., 2:] > boxes[..., :2]).all(-1)  # detectron2 drops empty boxes, too
        table = {
            "scores": best.where(counts, 0.0),
            "pred_classes": pooled.classes.gather(1, rows).where(counts, NO_CLASS),
        }
        if pooled.filters is not None:
            table["filters"] = rows_at(pooled.filters, rows)
        results = []
        for i in range(len(images)):
            fields = {name: column[i] for name, column in table.items()}
            results.append({"instances": Instances((height, width), pred_boxes=Boxes(boxes[i]), **fields)})
        return results

    def _suppressed(self, pooled: Detections, num_passes: int) -> Tensor:
        """The scores (B, P), `NO_SCORE` for detections that the sampler's NMS suppresses."""
        nms = self.sampler.merge
        if nms is None or num_passes < nms.min_passes:
            return pooled.scores
        stays = self.suppress(pooled.boxes_xyxy, pooled.scores, pooled.classes, nms.iou_threshold, self.num_classes)
        return pooled.scores.where(stays, NO_SCORE)


class Graph(nn.Module):
    """A detector whose inputs and outputs are tensors, and whose randomness is an input.

    Args:
        detector: in evaluation mode; it is copied.
        suppress: what stands for the sampler's NMS, see `Suppression`.

    Raises:
        ValueError: the sampler has an object in a slot that no graph can hold.
    """

    def __init__(self, detector: Detector, suppress: Suppression) -> None:
        super().__init__()
        _check_slots(detector.sampler)
        kind = type(detector)
        in_graph = copy.deepcopy(detector)
        in_graph.__class__ = type(f"{kind.__name__}InGraph", (DetectorInGraph, kind), {})
        assert isinstance(in_graph, DetectorInGraph)
        in_graph.suppress = suppress
        self.detector = in_graph

    def forward(self, images: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Detect.

        Args:
            images: (B, 3, H, W), values in 0..255, channels in the detector's order.
            noise: (B, D, Q, 4), D being `count_draws`; None for a baseline.

        Returns:
            The fields of `Found`.
        """
        return self._detect(images, None if noise is None else GivenNoise(noise)).named()

    def _detect(self, images: Tensor, draw: NoiseSource | None) -> Found:
        results = self.detector([{"image": image, "draw": draw} for image in images])
        instances = [result["instances"] for result in results]
        return Found(
            boxes=torch.stack([each.pred_boxes.tensor for each in instances]),
            scores=torch.stack([each.scores for each in instances]),
            classes=torch.stack([each.pred_classes for each in instances]),
            masks=torch.stack([each.pred_masks for each in instances]) if instances[0].has("pred_masks") else None,
        )

    @torch.no_grad()
    def count_draws(self, images: Tensor) -> int:
        """How often the sampler draws noise for images (B, 3, H, W)."""
        draw = CountedNoise((len(images), self.detector.num_boxes, 4), images.device)
        self._detect(images, draw)
        return draw.draws


def _check_slots(sampler: Sampler) -> None:
    for slot, allowed in SLOTS.items():
        kind = type(getattr(sampler, slot, None))
        if kind not in allowed:
            names = ", ".join("null" if each is type(None) else each.__name__ for each in allowed)
            raise ValueError(f"model.sampler.{slot} is {kind.__name__}; a graph can hold {names}")
