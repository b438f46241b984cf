"""Box and class heads, timestep conditioning of the decoder's queries, refinement of reference boxes."""

import math

from torch import Tensor, nn

from layers_diffu_detr.box_ops import inverse_sigmoid
from layers_diffu_detr.mlp import MLP


def build_class_head(embed_dim: int, num_classes: int, prior: float = 0.01) -> nn.Linear:
    """Linear class head whose scores start at `prior` (Lin et al. 2017)."""
    head = nn.Linear(embed_dim, num_classes)
    nn.init.constant_(head.bias, -math.log((1 - prior) / prior))
    return head


def build_box_head(embed_dim: int) -> MLP:
    """Three-layer box head that starts by leaving its reference where it is."""
    head = MLP(embed_dim, embed_dim, 4, 3)
    nn.init.zeros_(head.layers[-1].weight)
    nn.init.zeros_(head.layers[-1].bias)
    return head


def build_ref_point_head(embed_dim: int) -> MLP:
    """Query positions (B, Q, C) from the sine embedding (B, Q, 2C) of boxes."""
    return MLP(2 * embed_dim, embed_dim, embed_dim, 2)


def refine_boxes(delta: Tensor, reference_boxes: Tensor) -> Tensor:
    """sigmoid(delta + logit(reference)), (B, Q, 4), in float32 whatever autocast made of `delta`."""
    return (delta.float() + inverse_sigmoid(reference_boxes)).sigmoid()


class LookForwardOnce:
    """A layer's loss trains its own box head; the boxes it starts from are constants (Deformable DETR)."""

    def __call__(self, boxes: Tensor) -> Tensor:
        """Refined boxes (B, Q, 4), as the next layer's prediction sees them."""
        return boxes.detach()


class LookForwardTwice:
    """A layer's loss also trains the box head of the layer before, whose boxes it starts from (DINO, section 3.5)."""

    def __call__(self, boxes: Tensor) -> Tensor:
        """Refined boxes (B, Q, 4), as the next layer's prediction sees them."""
        return boxes


class TimeStepBlock(nn.Module):
    """The released conditioning: x -> x + x · (1 + scale) + shift, scale and shift from the timestep embedding."""

    def __init__(self, embed_dim: int, time_embed_dim: int):
        super().__init__()
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_embed_dim, 2 * embed_dim))

    def forward(self, x: Tensor, time_embed: Tensor) -> Tensor:
        """x (B, Q, C), time_embed (B, 4C) -> (B, Q, C)."""
        scale, shift = self.emb_layers(time_embed)[:, None].chunk(2, dim=-1)
        return x + x * (1 + scale) + shift


class ScaleShiftConditioning(nn.ModuleList):
    """The released timestep conditioning of a decoder layer: a `TimeStepBlock` before each of its three parts."""

    def __init__(self, embed_dim: int = 256, time_embed_dim: int | None = None):
        super().__init__(TimeStepBlock(embed_dim, time_embed_dim or 4 * embed_dim) for _ in range(3))

    def forward(self, query: Tensor, time_embed: Tensor, part: int) -> Tensor:
        """Condition `query` (B, Q, C) before self-attention (0), cross-attention (1) or FFN (2)."""
        return self[part](query, time_embed)


class AdditiveConditioning(nn.ModuleList):
    """The paper's conditioning, q_n = FFN(MSDA(SA(q_{n-1}) + t), ...): one embedding added after self-attention."""

    def __init__(self, embed_dim: int = 256, time_embed_dim: int | None = None):
        projection = nn.Sequential(nn.SiLU(), nn.Linear(time_embed_dim or 4 * embed_dim, embed_dim))
        super().__init__([projection])

    def forward(self, query: Tensor, time_embed: Tensor, part: int) -> Tensor:
        """Add the projected embedding to `query` (B, Q, C) between self- and cross-attention (part 1)."""
        return query + self[0](time_embed)[:, None] if part == 1 else query


def predict(
    states: Tensor, references: Tensor, class_embed: nn.ModuleList, bbox_embed: nn.ModuleList
) -> list[dict[str, Tensor]]:
    """Apply each decoder layer's heads.

    Args:
        states: (L, B, Q, C), the layers' normalized outputs.
        references: (L, B, Q, 4), the boxes each layer started from.
        class_embed, bbox_embed: one head per layer (further ones are not used).

    Returns:
        L dicts of `pred_logits` (B, Q, K), `pred_boxes` (B, Q, 4) and the `states` (B, Q, C) they are made of.
    """
    return [
        {"pred_logits": class_head(state), "pred_boxes": refine_boxes(box_head(state), reference), "states": state}
        for state, reference, class_head, box_head in zip(states, references, class_embed, bbox_embed, strict=False)
    ]
