"""What a sampler asks of a network, and what it hands back: the passes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


class PassPrediction(NamedTuple):
    """What one pass of the network predicts.

    Attributes:
        boxes: (B, Q, 4), normalized cxcywh: the denoised boxes, x_start.
        confidence: (B, Q) in [0, 1], each query's best class score. Renewal decides by it.
        outputs: whatever else the model wants to keep of the pass; the sampler does not read it.
    """

    boxes: Tensor
    confidence: Tensor
    outputs: Any


@dataclass
class DenoisingPass:
    """One pass of the network: it was given `boxes` (B, Q, 4) at timestep `t` and returned `prediction`.

    `boxes` is None where the network started from its own proposals.
    """

    t: int
    boxes: Tensor | None
    prediction: PassPrediction


# From boxes (B, Q, 4) and timesteps (B,) to a prediction. Both are None for a network that starts from its own
# proposals.
Denoise = Callable[[Tensor | None, Tensor | None], PassPrediction]
