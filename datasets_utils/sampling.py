"""Repeat-factor sampling: an epoch has images of rare categories several times (Gupta et al., LVIS, CVPR 2019)."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from .loader import DatasetDicts, Mapper, build_train_loader


class ResumableRepeatFactorSampler(Sampler[int]):
    """An endless stream of image indices, in which image i comes about `repeat_factors[i]` times per epoch.

    The whole part of its factor is how often an image comes at least. The fractional part is the probability that it
    comes once more. Every epoch draws anew. All processes share this one stream, and every `iter()` starts it from the
    beginning, as `build_train_loader` needs it.

    Args:
        repeat_factors: (N,) finite numbers of 1 or more.
        seed: the repeats and the order of an epoch depend on the seed and the epoch's number alone.

    Raises:
        ValueError: there are no images, a factor is below 1 or not finite, or the seed is negative.
    """

    def __init__(self, repeat_factors: Sequence[float], *, seed: int) -> None:
        factors = np.asarray(repeat_factors, dtype=np.float64)
        if factors.ndim != 1 or not len(factors):
            raise ValueError(f"repeat_factors have shape {factors.shape}; there must be one per image, of at least one")
        if wrong := [float(factor) for factor in factors if not 1 <= factor < np.inf]:
            raise ValueError(f"repeat_factors contain {wrong[0]}; they must be finite and at least 1")
        if seed < 0:
            raise ValueError(f"seed of the training data is {seed}; it must be 0 or more")
        self.repeat_factors = factors
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        for epoch in itertools.count():
            yield from self.indices_of_epoch(epoch).tolist()

    def indices_of_epoch(self, epoch: int) -> np.ndarray:
        """Returns the indices of an epoch in their order. How many there are varies a little between epochs.

        Args:
            epoch: the epoch's number, from 0 on.
        """
        rng = np.random.default_rng([self.seed, epoch])
        whole, fraction = np.divmod(self.repeat_factors, 1)
        repeats = whole.astype(np.int64) + (rng.random(len(fraction)) < fraction)
        return rng.permutation(np.repeat(np.arange(len(repeats)), repeats))


def repeat_factors(dataset: DatasetDicts, repeat_thresh: float) -> list[float]:
    """Returns the repeat factor of each image, max(1, sqrt(repeat_thresh / f)).

    f is the share of images that have the image's rarest category. detectron2's
    `repeat_factors_from_category_frequency` returns the same numbers, but logs a line for every category: 13,204 lines
    for V3Det.

    Args:
        dataset: detectron2 dataset dicts with "annotations".
        repeat_thresh: the share of images, in (0, 1], below which a category's images are repeated.

    Raises:
        ValueError: `repeat_thresh` is not in (0, 1].
    """
    if not 0 < repeat_thresh <= 1:
        raise ValueError(f"repeat_thresh is {repeat_thresh}; it must be a share of the images, in (0, 1]")
    categories = [{annotation["category_id"] for annotation in image["annotations"]} for image in dataset]
    num_images = Counter(itertools.chain.from_iterable(categories))
    factors = {c: max(1.0, math.sqrt(repeat_thresh * len(dataset) / n)) for c, n in num_images.items()}
    return [max((factors[c] for c in of_image), default=1.0) for of_image in categories]


def build_repeat_factor_loader(
    dataset: DatasetDicts, *, mapper: Mapper, repeat_thresh: float, seed: int = 0, **settings: Any
) -> DataLoader:
    """Returns a loader of training batches, as `build_train_loader` does, but with repeat-factor sampling.

    Args:
        dataset, mapper, seed: as in `build_train_loader`.
        repeat_thresh: see `repeat_factors`.
        settings: the other arguments of `build_train_loader`, except for `sampler`.

    Raises:
        ValueError: see `repeat_factors`, `ResumableRepeatFactorSampler` and `build_train_loader`.
    """
    sampler = ResumableRepeatFactorSampler(repeat_factors(dataset, repeat_thresh), seed=seed)
    return build_train_loader(dataset, mapper=mapper, seed=seed, sampler=sampler, **settings)
