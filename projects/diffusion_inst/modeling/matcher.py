"""SimOTA (YOLOX, Ge et al. 2021): the better the queries already fit a target, the more of them it gets."""

import torch
import torch.nn.functional as F
from torch import Tensor

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, pairwise_giou, pairwise_iou
from projects.diffu_base.modeling.matcher import LayerMatcher, LayerPredictions, focal_cost, matched_first

# Added to the costs of bad pairs. The first is larger than any sum of the other terms, the second larger than both.
_OUTSIDE_BOX, _OUTSIDE_ALL = 100.0, 10000.0


class SimOTAMatcher(LayerMatcher):
    """Matches each target with its k cheapest queries. A query is matched with one target at most.

    k is the sum of the target's best IoUs, rounded down, but at least 1. The cost of a pair is cost_class · focal +
    cost_bbox · L1 - cost_giou · GIoU, where L1 is that of normalized corners; see `focal_cost` for the first term.
    Pairs in which the query's centre lies outside the target's box come after all others. Queries whose centre lies
    outside the surroundings of all targets come last.

    Args:
        cost_class, cost_bbox, cost_giou: weights of the three terms.
        alpha, gamma: parameters of the focal loss.
        candidates: how many IoUs are summed.
        radius: a target's surroundings reach this many box widths and heights from its centre.

    Raises:
        ValueError: candidates is below 1.
    """

    def __init__(
        self,
        cost_class: float = 2.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        candidates: int = 5,
        radius: float = 2.5,
    ) -> None:
        super().__init__()
        if candidates < 1:
            raise ValueError(f"matcher.candidates is {candidates}; it must be at least 1")
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou
        self.alpha = alpha
        self.gamma = gamma
        self.candidates = candidates
        self.radius = radius

    def cost(self, outputs: LayerPredictions, labels: Tensor, boxes: Tensor) -> Tensor:
        """Cost and IoU (B, 2, Q, N) of each query with each target of its own image, see `LayerMatcher.cost`."""
        pred_boxes, boxes = outputs["pred_boxes"].float(), boxes.float()
        pred_xyxy, target_xyxy = box_cxcywh_to_xyxy(pred_boxes), box_cxcywh_to_xyxy(boxes)
        cost = self.cost_class * focal_cost(outputs["pred_logits"], labels, self.alpha, self.gamma)
        cost = cost + self.cost_bbox * torch.cdist(pred_xyxy, target_xyxy, p=1)
        cost = cost - self.cost_giou * pairwise_giou(pred_xyxy, target_xyxy)
        distance = (pred_boxes[:, :, None, :2] - boxes[:, None, :, :2]).abs()  # (B, Q, N, 2)
        in_box = (distance < boxes[:, None, :, 2:] / 2).all(-1)
        in_surroundings = (distance < boxes[:, None, :, 2:] * self.radius).all(-1).any(-1, keepdim=True)
        cost = cost + _OUTSIDE_BOX * ~in_box + _OUTSIDE_ALL * ~in_surroundings
        return torch.stack([cost, pairwise_iou(pred_xyxy, target_xyxy)], dim=1)

    def assign(self, cost: Tensor, matches: int = 1) -> tuple[Tensor, Tensor]:
        """One image's indices of queries, ascending, and of targets, from costs and IoUs (2, Q, n) on the host.

        Every target gets a query as long as there are queries left. `matches` is not used.
        """
        cost, iou = cost
        num_queries, num_targets = cost.shape
        if num_targets == 0:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
        cost = matched_first(cost)
        best = iou.nan_to_num(0).topk(min(self.candidates, num_queries), dim=0).values
        k = best.sum(0).int().clamp(min=1)
        matched = cost.argsort(dim=0).argsort(dim=0) < k  # (Q, n)
        wanted = matched.sum(1) > 1
        matched[wanted] = F.one_hot(cost[wanted].argmin(1), num_targets).bool()
        for target in (~matched.any(0)).nonzero().flatten().tolist():
            free = ~matched.any(1)
            if not free.any():
                break
            matched[cost[:, target].masked_fill(~free, torch.inf).argmin(), target] = True
        queries, targets = matched.nonzero(as_tuple=True)
        return queries, targets
