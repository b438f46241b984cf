"""The timesteps of a chain's passes."""

from collections.abc import Sequence
from itertools import pairwise


def ddim_times(num_timesteps: int, num_steps: int, last: int = 0) -> list[tuple[int, int]]:
    """The pairs (t, t_next) of a chain of `num_steps` steps, from T-1 down to `last`.

    For example, 3 steps of T = 100 down to 0 are (99, 66), (66, 33), (33, 0).

    Args:
        num_timesteps: T.
        num_steps: number of pairs.
        last: 0 as in the DETR family, or -1 as in DiffusionDet, which stands for boxes without any noise.

    Raises:
        ValueError: num_steps is not an integer from 1 to the number of timesteps between T-1 and `last`.
    """
    available = num_timesteps - 1 - last
    if not isinstance(num_steps, int) or not 1 <= num_steps <= available:
        raise ValueError(f"num_steps is {num_steps!r}; {num_timesteps} timesteps allow 1 to {available}")
    times = [last + available * i // num_steps for i in range(num_steps, -1, -1)]
    return list(zip(times[:-1], times[1:], strict=True))


def listed_times(num_timesteps: int, num_steps: int, times: Sequence[int], last: int = 0) -> list[tuple[int, int]]:
    """The pairs (t, t_next) of a chain whose passes have the first `num_steps` of `times`.

    Args:
        num_timesteps: T.
        num_steps: number of pairs.
        times: falling timesteps.
        last: see `ddim_times`.

    Raises:
        ValueError: `times` are fewer than `num_steps`, do not fall, or are not timesteps.
    """
    times = list(times)
    if not times or not all(a > b for a, b in pairwise([num_timesteps, *times, last])):
        raise ValueError(f"sampler.times is {times}; it needs falling timesteps below {num_timesteps} and above {last}")
    if not isinstance(num_steps, int) or not 1 <= num_steps <= len(times):
        raise ValueError(f"num_steps is {num_steps!r}; sampler.times {times} allow 1 to {len(times)}")
    used = times[:num_steps]
    return list(zip(used, [*used[1:], last], strict=True))
