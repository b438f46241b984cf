"""Losses of DiffusionDet and DiffusionInst that other families do not have."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy
from projects.diffu_base.modeling.criterion import ClassLoss
from projects.diffu_base.modeling.losses import MatchedPairs


def corner_l1_loss(pairs: MatchedPairs) -> Tensor:
    """The weighted sum of the absolute differences between the normalized corners of predicted and target boxes."""
    difference = box_cxcywh_to_xyxy(pairs.pred_boxes) - box_cxcywh_to_xyxy(pairs.target_boxes)
    return pairs.sum(difference.abs().sum(-1))


class FederatedLoss(nn.Module):
    """A class loss on a few classes at a time: the targets' classes, and others drawn at random (Zhou et al. 2021).

    It is for LVIS, where rare classes would hardly learn anything but that they are absent, and where an image's
    annotations are complete for some of the classes alone.

    Args:
        class_loss: (logits (B, Q, C), `MatchedPairs`) -> sum of the class loss.
        image_counts: (K,), the number of images that hold each class.
        num_sampled: how many classes count at a time. As in the released code, one of them is the background, which has
            no logit.
        power: a class is drawn with a probability proportional to its count to this power.

    Raises:
        ValueError: num_sampled is below 2.
    """

    weights: Tensor

    def __init__(
        self,
        class_loss: ClassLoss,
        image_counts: Sequence[int],
        *,
        num_sampled: int = 50,
        power: float = 0.5,
    ) -> None:
        super().__init__()
        if num_sampled < 2:
            raise ValueError(f"class_loss.num_sampled is {num_sampled}; it must be at least 2")
        self.class_loss = class_loss
        self.num_sampled = num_sampled
        weights = torch.as_tensor(image_counts, dtype=torch.float32) ** power
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, pred_logits: Tensor, pairs: MatchedPairs) -> Tensor:
        """The loss, summed over all queries and the drawn classes of `pred_logits` (B, Q, K).

        Raises:
            ValueError: there are not K image counts.
        """
        if pred_logits.shape[-1] != len(self.weights):
            raise ValueError(
                f"class_loss.image_counts has {len(self.weights)} classes; num_classes is {pred_logits.shape[-1]}"
            )
        classes = self.draw(pairs.labels)
        place = classes.new_zeros(len(self.weights)).index_put_((classes,), torch.arange(len(classes)).to(classes))
        return self.class_loss(pred_logits[..., classes], replace(pairs, labels=place[pairs.labels]))

    def draw(self, labels: Tensor) -> Tensor:
        """The classes that count: those in `labels` (M,), and drawn ones, so that there are num_sampled - 1 in all."""
        present = labels.unique()
        weights = self.weights.index_fill(0, present, 0)
        others = min(self.num_sampled - 1 - len(present), int(weights.count_nonzero()))
        if others <= 0:
            return present
        return torch.cat([present, torch.multinomial(weights, others)])
