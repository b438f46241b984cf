"""Bipartite matching of predictions and ground truths (DETR, eq. 1, with Deformable DETR's class cost)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, pairwise_giou
from layers_diffu_detr.targets import Target, pad_targets

# One layer's predictions: {"pred_logits": (B, Q, K), "pred_boxes": (B, Q, 4), ...}.
Predictions = dict[str, Tensor]
# Per image (query indices, target indices), both (m,) int64, m = min(Q, n) for a one-to-one matching.
Indices = list[tuple[Tensor, Tensor]]

_FIRST = 1e9  # far beyond any cost


class LayerMatcher(nn.Module):
    """Matches the layers of a decoder; subclasses say what a pair costs and how costs become an assignment."""

    def forward(self, outputs: Predictions, targets: list[Target]) -> Indices:
        """Match one layer; see `match_layers`."""
        return self.match_layers([(outputs, targets)])[0]

    @torch.no_grad()
    def match_layers(self, layers: Sequence[tuple[Predictions, list[Target]]]) -> list[Indices]:
        """Match many layers and wait for the device once: all costs travel to the host together.

        Args:
            layers: one or more; per layer its predictions and what they are matched with. The criterion's order: the
                last decoder layer, the other ones, the encoder's proposals.

        Returns:
            Per layer and image (query indices, target indices) on the predictions' device. A batch, an image or a
            layer without targets gives empty tensors; more targets than queries leave targets unmatched. Predictions
            that are not finite are matched before others, so that the losses are not finite either.
        """
        padded = {id(targets): pad_targets(targets)[:2] for _, targets in layers}
        costs = [self.cost(outputs, *padded[id(targets)]) for outputs, targets in layers]
        host_costs = torch.cat([cost.flatten() for cost in costs]).cpu().split([cost.numel() for cost in costs])
        indices = []
        matches = self.matches_per_target(len(layers))
        for cost, host_cost, (_, targets), most in zip(costs, host_costs, layers, matches, strict=True):
            cost = host_cost.view(cost.shape)
            indices.append([self.assign(cost[i, ..., : len(t["labels"])], most) for i, t in enumerate(targets)])
        return _to_device(indices, costs[0].device)

    def cost(self, outputs: Predictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """What assignments are made from, (B, ..., Q, N), for labels (B, N) and boxes (B, N, 4), padded with zeros."""
        raise NotImplementedError

    def matches_per_target(self, num_layers: int) -> list[int]:
        """How many queries at most a target of each layer is assigned to, in `match_layers`' order."""
        return [1] * num_layers

    def assign(self, cost: Tensor, matches: int = 1) -> tuple[Tensor, Tensor]:
        """One image's (query indices, target indices) from its cost (..., Q, n), on the host."""
        raise NotImplementedError


class HungarianMatcher(LayerMatcher):
    """The one-to-one assignment of queries to targets of least total cost.

    The cost of a pair is cost_class · focal + cost_bbox · L1 - cost_giou · GIoU, where focal is the focal loss of the
    target's class being present minus the one of its being absent.

    Args:
        cost_class, cost_bbox, cost_giou: weights of the three terms.
        alpha, gamma: the focal term's.

    Raises:
        ValueError: all weights are 0.
    """

    def __init__(
        self,
        cost_class: float = 2.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ):
        super().__init__()
        if cost_class == cost_bbox == cost_giou == 0:
            raise ValueError("cost_class, cost_bbox and cost_giou are all 0; at least one must be positive")
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou
        self.alpha = alpha
        self.gamma = gamma

    def cost(self, outputs: Predictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """Cost (B, Q, N) of each query with each of its own image's targets: labels (B, N), boxes (B, N, 4)."""
        pred_boxes, boxes = outputs["pred_boxes"].float(), boxes.float()
        focal = focal_cost(outputs["pred_logits"], labels, self.alpha, self.gamma)
        l1 = (pred_boxes[:, :, None] - boxes[:, None]).abs().sum(-1)
        giou = pairwise_giou(box_cxcywh_to_xyxy(pred_boxes), box_cxcywh_to_xyxy(boxes))
        return self.cost_class * focal + self.cost_bbox * l1 - self.cost_giou * giou

    def assign(self, cost: Tensor, matches: int = 1) -> tuple[Tensor, Tensor]:
        """Solve one image's cost matrix (Q, n) on the host: (query indices, target indices).

        Every target gets the same number of queries: `matches`, or fewer where that were more than half of the queries,
        but at least one if the queries suffice.
        """
        num_queries, num_targets = cost.shape
        matches = max(1, min(matches, num_queries // max(1, 2 * num_targets)))
        queries, matched = linear_sum_assignment(matched_first(cost).repeat(1, matches).numpy())
        return torch.from_numpy(queries), torch.from_numpy(matched % max(1, num_targets))


def focal_cost(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """The focal loss of each target's class being present minus the one of its being absent, (B, Q, N).

    Args:
        logits: (B, Q, K).
        labels: (B, N).
    """
    # Only the columns of classes that occur are worked on: N of the K.
    logits = logits.gather(2, labels[:, None].expand(-1, logits.shape[1], -1)).float()
    prob = logits.sigmoid()
    positive = alpha * (1 - prob) ** gamma * F.softplus(-logits)
    negative = (1 - alpha) * prob**gamma * F.softplus(logits)
    return positive - negative


def matched_first(cost: Tensor) -> Tensor:
    """The cost with what is not finite far below everything else.

    It then shows in the losses, under their names and in every process, where training stops; an error here would leave
    the other processes waiting.
    """
    return torch.where(cost.isfinite(), cost, -_FIRST)


def _to_device(indices: list[Indices], device: torch.device) -> list[Indices]:
    """Move all indices in one transfer."""
    pairs = [torch.stack(pair) for layer in indices for pair in layer]
    moved = iter(torch.cat(pairs, dim=1).to(device).split([pair.shape[1] for pair in pairs], dim=1))
    return [[tuple(next(moved)) for _ in layer] for layer in indices]
