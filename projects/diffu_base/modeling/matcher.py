"""Bipartite matching of predictions and targets (DETR, eq. 1, with Deformable DETR's class cost)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, pairwise_giou
from layers_diffu_detr.targets import Target, pad_targets

# One layer's predictions: {"pred_logits": (B, Q, K), "pred_boxes": (B, Q, 4), ...}.
LayerPredictions = dict[str, Tensor]
# Per image the indices of m queries and of the targets they are matched with, both (m,) int64. In a one-to-one matching
# with n targets, m is min(Q, n).
Indices = list[tuple[Tensor, Tensor]]

# Pairs that must be matched before all others get the negative of this as cost. It is far below any other cost.
_FIRST = 1e9


class LayerMatcher(nn.Module):
    """Matches the layers of a decoder. Subclasses say what a pair costs, and how costs become an assignment."""

    def forward(self, outputs: LayerPredictions, targets: list[Target]) -> Indices:
        """Match one layer; see `match_layers`."""
        return self.match_layers([(outputs, targets)])[0]

    @torch.no_grad()
    def match_layers(
        self, layers: Sequence[tuple[LayerPredictions, list[Target]]], matches: Sequence[int] | None = None
    ) -> list[Indices]:
        """Match all layers at once. Their costs are copied to the host together, so the program waits for the GPU once.

        Args:
            layers: per layer its predictions and its targets. They come in the criterion's order: the last decoder
                layer, the other ones, the encoder's proposals. There is at least one. Predictions may have `valid`
                (B, Q) bool, False for queries that must not be matched.
            matches: how many queries a target may be matched with, layer by layer; None: as `matches_per_target` says.

        Returns:
            Per layer the `Indices`, on the predictions' device. An image without targets has empty ones. Of more
            targets than queries, some stay without a query. Predictions that are not finite are matched before all
            others, so that the losses are not finite either.
        """
        # Most layers have the same list of targets, which is padded once.
        padded = {id(targets): pad_targets(targets)[:2] for _, targets in layers}
        costs = [self.cost(outputs, *padded[id(targets)]) for outputs, targets in layers]
        host_costs = torch.cat([cost.flatten() for cost in costs]).cpu().split([cost.numel() for cost in costs])
        indices = []
        matches = self.matches_per_target(len(layers)) if matches is None else matches
        for cost, host_cost, (outputs, targets), most in zip(costs, host_costs, layers, matches, strict=True):
            cost = host_cost.view(cost.shape)
            of_images = [cost[i, ..., : len(t["labels"])] for i, t in enumerate(targets)]
            valid = outputs["valid"].cpu() if "valid" in outputs else [None] * len(of_images)
            indices.append(
                [self._assign(each, of_image, most) for each, of_image in zip(of_images, valid, strict=True)]
            )
        return _to_device(indices, costs[0].device)

    def _assign(self, cost: Tensor, valid: Tensor | None, matches: int) -> tuple[Tensor, Tensor]:
        """`assign`, as if the queries that are not `valid` (Q,) did not exist."""
        if valid is None:
            return self.assign(cost, matches)
        numbers = valid.nonzero().squeeze(1)
        queries, targets = self.assign(cost[..., numbers, :], matches)
        return numbers[queries], targets

    def cost(self, outputs: LayerPredictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """The costs of all pairs of a query and a target, (B, ..., Q, N). Subclasses may add quantities as dimensions.

        Args:
            outputs: the layer's predictions.
            labels, boxes: the targets, (B, N) and (B, N, 4), padded with zeros.
        """
        raise NotImplementedError

    def matches_per_target(self, num_layers: int, *, proposals: bool = True) -> list[int]:
        """For each layer, in the order of `match_layers`, how many queries a target may be matched with.

        Args:
            num_layers: the number of layers.
            proposals: whether the last of them are the encoder's proposals.
        """
        return [1] * num_layers

    def assign(self, cost: Tensor, matches: int = 1) -> tuple[Tensor, Tensor]:
        """One image's indices of queries and of targets, from its costs (..., Q, n) on the host."""
        raise NotImplementedError


class HungarianMatcher(LayerMatcher):
    """The one-to-one matching of queries and targets with the least total cost.

    The cost of a pair is cost_class · focal + cost_bbox · L1 - cost_giou · GIoU; see `focal_cost` for the first term.

    Args:
        cost_class, cost_bbox, cost_giou: weights of the three terms.
        alpha, gamma: parameters of the focal loss.

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
    ) -> None:
        super().__init__()
        if cost_class == cost_bbox == cost_giou == 0:
            raise ValueError("cost_class, cost_bbox and cost_giou are all 0; at least one must be positive")
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou
        self.alpha = alpha
        self.gamma = gamma

    def cost(self, outputs: LayerPredictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """The cost (B, Q, N) of each query with each target of its own image, see `LayerMatcher.cost`."""
        pred_boxes, boxes = outputs["pred_boxes"].float(), boxes.float()
        focal = focal_cost(outputs["pred_logits"], labels, self.alpha, self.gamma)
        l1 = (pred_boxes[:, :, None] - boxes[:, None]).abs().sum(-1)
        giou = pairwise_giou(box_cxcywh_to_xyxy(pred_boxes), box_cxcywh_to_xyxy(boxes))
        return self.cost_class * focal + self.cost_bbox * l1 - self.cost_giou * giou

    def assign(self, cost: Tensor, matches: int = 1) -> tuple[Tensor, Tensor]:
        """One image's indices of queries and of targets, from its costs (Q, n) on the host.

        All targets get the same number of queries: `matches`, or as many as half of the queries allow if these are
        fewer, but at least one. If there are more targets than queries, some targets get none.
        """
        num_queries, num_targets = cost.shape
        matches = max(1, min(matches, num_queries // max(1, 2 * num_targets)))
        queries, matched = linear_sum_assignment(matched_first(cost).repeat(1, matches).numpy())
        return torch.from_numpy(queries), torch.from_numpy(matched % max(1, num_targets))


def focal_cost(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """By how much matching a query with a target changes the query's focal loss, (B, Q, N).

    It is the focal loss of the target's class if that class is present, minus the loss if it is absent.

    Args:
        logits: (B, Q, K).
        labels: (B, N).
    """
    # Of the K columns, only those of the N targets' classes are needed.
    logits = logits.gather(2, labels[:, None].expand(-1, logits.shape[1], -1)).float()
    prob = logits.sigmoid()
    positive = alpha * (1 - prob) ** gamma * F.softplus(-logits)
    negative = (1 - alpha) * prob**gamma * F.softplus(logits)
    return positive - negative


def matched_first(cost: Tensor) -> Tensor:
    """Give the pairs whose cost is not finite the lowest cost, so that they are matched.

    The losses are then not finite either, and training stops with their names, in all processes. An error here would
    stop this process alone and leave the others waiting.
    """
    return torch.where(cost.isfinite(), cost, -_FIRST)


def _to_device(indices: list[Indices], device: torch.device) -> list[Indices]:
    """Copy the indices of all layers and images to `device` in one transfer."""
    pairs = [torch.stack(pair) for layer in indices for pair in layer]
    moved = iter(torch.cat(pairs, dim=1).to(device).split([pair.shape[1] for pair in pairs], dim=1))
    return [[tuple(next(moved)) for _ in layer] for layer in indices]
