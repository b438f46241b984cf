"""The encoder's proposals, and objects for two slots of the transformer.

`ranking` decides which tokens become proposals, and `supervision` decides which predictions the criterion gets of them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers_diffu_detr.chunks import rows_at_a_time
from projects.diffu_base.modeling.matcher import LayerPredictions


@dataclass
class Candidates:
    """All tokens, from which the proposals are chosen.

    A token cannot become a box if it is padding, or if its grid box has a coordinate (cx, cy, w, h) that is not between
    0.01 and 0.99.

    Attributes:
        features: (B, S, C), what the heads get; the same for all tokens that cannot become a box.
        box_logits: (B, S, 4), the logits of the token's grid box; +inf for tokens that cannot become a box.
        in_image: (B, S) bool, False where padded.
    """

    features: Tensor
    box_logits: Tensor
    in_image: Tensor

    def boxes(self, box_head: nn.Module) -> Tensor:
        """The grid boxes as `box_head` refines them, (B, S, 4), float32."""
        return (box_head(self.features).float() + self.box_logits).sigmoid()

    def __getitem__(self, tokens: Tensor) -> "Candidates":
        """The candidates whose numbers are `tokens` (B, Q)."""
        index = tokens[..., None]
        return Candidates(
            features=self.features.gather(1, index.expand(-1, -1, self.features.shape[-1])),
            box_logits=self.box_logits.gather(1, index.expand(-1, -1, 4)),
            in_image=self.in_image.gather(1, tokens),
        )


@dataclass
class Proposals:
    """The encoder's best tokens, best first.

    Attributes:
        features: (B, Q, C).
        boxes: (B, Q, 4), refined, normalized cxcywh.
        candidates: all tokens, from which these were chosen.
    """

    features: Tensor
    boxes: Tensor
    candidates: Candidates


class BestClassScore:
    """Ranks tokens by the score of their best class (DINO, released DiffuDINO).

    The logits of all tokens, B · S · K numbers, never exist at the same time.
    """

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> scores (B, S); the tokens with the largest become proposals."""
        tokens = rows_at_a_time(len(features) * class_head.out_features, features.device)
        return torch.cat([class_head(part).max(-1).values for part in features.split(tokens, dim=1)], dim=1)


class ObjectnessScore:
    """Ranks tokens by the score of class 0, which stands for objectness (Deformable DETR).

    The model's proposals must be trained with `ClassAgnosticTargets`, which give every object the label 0.
    """

    def __call__(self, features: Tensor, class_head: nn.Linear) -> Tensor:
        """Features (B, S, C) -> scores (B, S); the tokens with the largest become proposals."""
        return _objectness(features, class_head).squeeze(-1)


class ChosenTokens:
    """The criterion gets the proposals, with all classes (DINO)."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> LayerPredictions:
        """`pred_logits` (B, Q, K), `pred_boxes` (B, Q, 4)."""
        return {"pred_logits": class_head(proposals.features), "pred_boxes": proposals.boxes}


class ChosenObjectness:
    """The criterion gets the proposals with class 0 alone, the objectness. It needs `ClassAgnosticTargets`."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> LayerPredictions:
        """`pred_logits` (B, Q, 1), `pred_boxes` (B, Q, 4)."""
        return {"pred_logits": _objectness(proposals.features, class_head), "pred_boxes": proposals.boxes}


class EveryToken:
    """The criterion gets all tokens, with all classes (Deformable DETR)."""

    def __call__(self, proposals: Proposals, class_head: nn.Linear, box_head: nn.Module) -> LayerPredictions:
        """`pred_logits` (B, S, K), `pred_boxes` (B, S, 4)."""
        candidates = proposals.candidates
        return {"pred_logits": class_head(candidates.features), "pred_boxes": candidates.boxes(box_head)}


def _objectness(features: Tensor, class_head: nn.Linear) -> Tensor:
    """The logit of class 0 alone, (..., 1); the other columns of the class head are not computed."""
    return F.linear(features, class_head.weight[:1], class_head.bias[:1])
