"""Align-DETR's mixed matching: several queries per target in all layers but the last, which has one."""

from collections.abc import Sequence

from projects.diffu_base.modeling.matcher import HungarianMatcher


def mixed_match_num(num_layers: int, most: int = 2) -> list[int]:
    """`match_num` of a `MixedMatcher` for a decoder of `num_layers`: 1 for the last layer, `most` for all others."""
    return [most] * num_layers + [1]


class MixedMatcher(HungarianMatcher):
    """Matches each target with up to `match_num` queries, at the least total cost.

    Args:
        match_num: queries per target for the encoder's proposals, for each decoder layer but the last, and for the last
            one, in this order.
        costs: see `HungarianMatcher`.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, match_num: Sequence[int], **costs: float) -> None:
        super().__init__(**costs)
        if not match_num or min(match_num) < 1:
            raise ValueError(f"matcher.match_num is {list(match_num)}; it needs numbers of at least 1")
        self.match_num = list(match_num)

    def matches_per_target(self, num_layers: int, *, proposals: bool = True) -> list[int]:
        """`match_num` in the order of `LayerMatcher.match_layers`. A single layer is taken for the decoder's last one.

        Raises:
            ValueError: there are not as many layers as numbers.
        """
        if num_layers == 1:
            return self.match_num[-1:]
        if num_layers + (not proposals) != len(self.match_num):
            raise ValueError(
                f"matcher.match_num has {len(self.match_num)} numbers; the proposals and the decoder's layers are "
                f"{num_layers}"
            )
        of_proposals, *intermediate, last = self.match_num
        return [last, *intermediate, *([of_proposals] if proposals else [])]
