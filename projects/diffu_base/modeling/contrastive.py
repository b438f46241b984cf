"""An optional loss that tells classes apart in the decoder's queries. It needs the package pytorch_metric_learning."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .losses import MatchedPairs


def metric_loss(name: str, **arguments: Any) -> nn.Module:
    """Build a loss of pytorch_metric_learning, e.g. `SupConLoss`. The package is imported only when this is called.

    Raises:
        ValueError: the package is not installed, or has no such loss.
    """
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise ValueError(
            f"the metric loss {name} needs the package pytorch_metric_learning: pip install 'diffu-detr[contrastive]'"
        ) from error
    if not (name.endswith("Loss") and hasattr(losses, name)):
        known = sorted(each for each in dir(losses) if each.endswith("Loss"))
        raise ValueError(f"metric loss is {name!r}; pytorch_metric_learning has {known}")
    return getattr(losses, name)(**arguments)


class ContrastiveLoss(nn.Module):
    """Draws the embeddings of queries of one class together, and those of different classes apart.

    The loss compares the matched queries of all images that a process has in a batch. Queries without a target have no
    class and take no part.

    Args:
        metric: (embeddings (M, D), classes (M,)) -> the loss, see `metric_loss`.
        embed_dim: C, the queries' channels.
        projection_dim: D; the embeddings are a linear projection of the queries.
    """

    def __init__(
        self, metric: Callable[[Tensor, Tensor], Tensor], embed_dim: int = 256, projection_dim: int = 128
    ) -> None:
        super().__init__()
        self.metric = metric
        self.projection = nn.Linear(embed_dim, projection_dim)

    def forward(self, states: Tensor, pairs: MatchedPairs) -> Tensor:
        """The mean loss (), float32, on the decoder's last states (B, Q, C); 0 if there is nothing to compare."""
        embeddings = self.projection(states[pairs.image, pairs.query]).float()
        return self.metric(embeddings, pairs.labels)
