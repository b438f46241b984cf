"""Proposals: which of the encoder's tokens are chosen, and what of them the criterion sees. Objects for two slots."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.chunks import rows_at_a_time
from projects.diffu_base.modeling.matcher import Predictions


@dataclass
class Candidates:
    """What proposals are chosen from: every token.

    features: (B, S, C), the encoder's output for heads; the same for all tokens that cannot become a box.
    box_logits: (B, S, 4), the token's grid box, +inf for tokens that cannot become a box.
    in_image: (B, S) bool, False where padded.
    """

    features: Tensor
    box_logits: Tensor
    in_image: Tensor

    def boxes(self, box_head: nn.Module) -> Tensor:
        """The refined boxes (B, S, 4), float32."""
        return (box_head(self.features).float() + self.box_logits).sigmoid()

    def __getitem__(self, tokens: Tensor) -> "Candidates":
        """The candidates at `tokens` (B, Q) of each image."""
        index = tokens[..., None]
        return Candidates(
            features=self.features.gather(1, index.expand(-1, -1, self.features.shape[-1])),
            box_logits=self.box_logits.gather(1, index.expand(-1, -1, 4)),
            in_image=self.in_image.gather(1, tokens),
        )


@dataclass
class Proposals:
    """The encoder's best tokens, best first: their features (B, Q, C) and boxes (B, Q, 4), and all `candidates`."""

    features: Tensor
    boxes: Tensor
    candidates: Candidates


class BestClassScore:
    """Ranks tokens by their best class (DINO, released DiffuDINO). The B · S · K logits never exist at once."""

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> the larger the better, (B, S)."""
        tokens = rows_at_a_time(len(features) * class_head.out_features, features.device)
        return torch.cat([class_head(part).max(-1).values for part in features.split(tokens, dim=1)], dim=1)


class FirstClassScore:
    """Ranks tokens by class 0, under which proposals are trained without class (Deformable DETR): one column alone."""

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> the larger the better, (B, S)."""
        return _first_class(features, class_head).squeeze(-1)


class ChosenTokens:
    """The criterion sees the proposals alone, with all classes (DINO)."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> Predictions:
        """`pred_logits` (B, Q, K), `pred_boxes` (B, Q, 4)."""
        return {"pred_logits": class_head(proposals.features), "pred_boxes": proposals.boxes}


class ChosenObjectness:
    """The criterion sees the proposals' class 0 alone: objectness. For targets without class."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> Predictions:
        """`pred_logits` (B, Q, 1), `pred_boxes` (B, Q, 4)."""
        return {"pred_logits": _first_class(proposals.features, class_head), "pred_boxes": proposals.boxes}


class EveryToken:
    """The criterion sees every token, with all classes (Deformable DETR)."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> Predictions:
        """`pred_logits` (B, S, K), `pred_boxes` (B, S, 4)."""
        candidates = proposals.candidates
        return {"pred_logits": class_head(candidates.features), "pred_boxes": candidates.boxes(box_head)}


def _first_class(features: Tensor, class_head: nn.Linear) -> Tensor:
    """The logit of class 0, (..., 1)."""
    return F.linear(features, class_head.weight[:1], class_head.bias[:1])
