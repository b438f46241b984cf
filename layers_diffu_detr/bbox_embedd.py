"""Class and box heads of the decoder, and how a layer's box head refines the boxes it is given.

The spelling of the file's name comes from the released code, whose users import from it.
"""

import math

from torch import Tensor, nn

from layers_diffu_detr.box_ops import inverse_sigmoid
from layers_diffu_detr.mlp import MLP


def build_class_head(embed_dim: int, num_classes: int, prior: float = 0.01) -> nn.Linear:
    """A linear class head whose bias makes all scores start near `prior` (Lin et al. 2017)."""
    head = nn.Linear(embed_dim, num_classes)
    nn.init.constant_(head.bias, -math.log((1 - prior) / prior))
    return head


def build_box_head(embed_dim: int) -> MLP:
    """A box head of three layers. Its last layer starts at zero, so that it first returns the boxes it is given."""
    head = MLP(embed_dim, embed_dim, 4, 3)
    for parameter in head.layers[-1].parameters():
        nn.init.zeros_(parameter)
    return head


def build_ref_point_head(embed_dim: int) -> MLP:
    """The layers that turn the sine embedding of boxes (B, Q, 2C) into query positions (B, Q, C)."""
    return MLP(2 * embed_dim, embed_dim, embed_dim, 2)


def refine_boxes(delta: Tensor, reference_boxes: Tensor) -> Tensor:
    """Add a box head's output to boxes in logit space: sigmoid(delta + logit(reference)).

    Args:
        delta: (B, Q, 4), of any floating-point type.
        reference_boxes: (B, Q, 4) normalized cxcywh.

    Returns:
        Boxes (B, Q, 4), normalized cxcywh. They are float32 also where autocast made `delta` less precise.
    """
    return (delta.float() + inverse_sigmoid(reference_boxes)).sigmoid()


class LookForwardOnce:
    """A layer's loss trains only its own box head: no gradient reaches the boxes it is given (Deformable DETR)."""

    def __call__(self, boxes: Tensor) -> Tensor:
        """The refined boxes (B, Q, 4) of a layer, in the form from which the next layer's prediction starts."""
        return boxes.detach()


class LookForwardTwice:
    """A layer's loss also trains the box head of the layer before it, which refined its boxes (DINO, section 3.5)."""

    def __call__(self, boxes: Tensor) -> Tensor:
        """The refined boxes (B, Q, 4) of a layer, in the form from which the next layer's prediction starts."""
        return boxes


def predict(
    states: Tensor, references: Tensor, class_embed: nn.ModuleList, bbox_embed: nn.ModuleList
) -> list[dict[str, Tensor]]:
    """Apply each decoder layer's own class and box head.

    Args:
        states: (L, B, Q, C), the layers' normalized outputs.
        references: (L, B, Q, 4), the boxes that each layer was given.
        class_embed, bbox_embed: one head per layer; any further heads are not used.

    Returns:
        Per layer `pred_logits` (B, Q, K), `pred_boxes` (B, Q, 4), and the `states` (B, Q, C) they were predicted from.
    """
    return [
        {"pred_logits": class_head(state), "pred_boxes": refine_boxes(box_head(state), reference), "states": state}
        for state, reference, class_head, box_head in zip(states, references, class_embed, bbox_embed, strict=False)
    ]
