"""Align-DETR's mixed matching: several queries per target on intermediate layers, one on the last."""

from collections.abc import Sequence

from projects.diffu_base.modeling.matcher import HungarianMatcher


def mixed_match_num(num_layers: int, most: int = 2) -> list[int]:
    """`MixedMatcher`'s numbers for a decoder of `num_layers`: 1 on its last layer, `most` everywhere else."""
    return [most] * num_layers + [1]


class MixedMatcher(HungarianMatcher):
    """Assigns each target to up to `match_num` queries of a layer, the cheapest assignment in all.

    Args:
        match_num: queries per target for the encoder's proposals, the decoder's intermediate layers and its last layer,
            in this order.
        costs: see `HungarianMatcher`.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, match_num: Sequence[int], **costs: float):
        super().__init__(**costs)
        if not match_num or min(match_num) < 1:
            raise ValueError(f"matcher.match_num is {list(match_num)}; it needs numbers of at least 1")
        self.match_num = list(match_num)

    def matches_per_target(self, num_layers: int) -> list[int]:
        """`match_num` in the criterion's order; a single layer is the last one.

        Raises:
            ValueError: there are not as many layers as numbers.
        """
        if num_layers == 1:
            return self.match_num[-1:]
        if num_layers != len(self.match_num):
            raise ValueError(
                f"matcher.match_num has {len(self.match_num)} numbers; the proposals and the decoder's layers are "
                f"{num_layers}"
            )
        proposals, *intermediate, last = self.match_num
        return [last, *intermediate, proposals]
