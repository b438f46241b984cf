"""Data loaders whose stream depends on the seed and the position alone, so that training resumes exactly.

The order of images and the randomness of each one's augmentation are functions of (seed, position in the stream): the
number of workers, the number of processes and interruptions leave the global batches as they are.

Workers share one copy of the data set: `DatasetFromList` keeps pickled bytes, which reading leaves as they are. Each
item is unpickled anew, hence `copy=False`.
"""

import contextlib
import itertools
import random
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetFromList, MapDataset
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

MAX_OPEN_FILES = 65536

DatasetDicts = list[dict[str, Any]]
Mapper = Callable[[dict[str, Any]], dict[str, Any]]


class ResumableTrainingSampler(Sampler[int]):
    """An endless stream of indices, shuffled anew each epoch; every `iter()` starts at its beginning.

    It is the stream of all processes together: `ResumableBatchSampler` deals it out and finds the place to resume.

    Args:
        size: number of images.
        seed: the epoch's order is a function of (seed, epoch).

    Raises:
        ValueError: there are no images, or the seed is negative.
    """

    def __init__(self, size: int, *, seed: int) -> None:
        if size <= 0:
            raise ValueError(f"the training set has {size} images; it needs at least 1")
        if seed < 0:
            raise ValueError(f"seed of the training data is {seed}; it must be 0 or more")
        self.size = size
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        for epoch in itertools.count():
            yield from np.random.default_rng([self.seed, epoch]).permutation(self.size).tolist()


class ResumableBatchSampler(Sampler[list[tuple[int, int]]]):
    """Cuts a stream of indices into global batches and yields this process's share of each.

    Resuming replays the stream, indices only, which costs about a second per million images.

    Args:
        stream: endless indices, the same in all processes, starting anew at every `iter()`.
        batch_size: images per global batch.
        groups: per image the number of its group; a batch holds one group only. None: all are one group.
        start: global batches already consumed.
        rank, world_size: this process among all; rank r takes every world_size-th image of the batch from the r-th on.

    Yields:
        [(position in the stream, index), ...], batch_size / world_size of them.

    Raises:
        ValueError: batch_size is not a positive multiple of world_size, or start is negative.
    """

    def __init__(
        self,
        stream: Iterable[int],
        batch_size: int,
        *,
        groups: Sequence[int] | None = None,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size <= 0 or batch_size % world_size:
            raise ValueError(
                f"total_batch_size is {batch_size}; it must be a positive multiple of the {world_size} process(es)"
            )
        if start < 0:
            raise ValueError(f"start_iter is {start}; it must be 0 or more")
        self.stream = stream
        self.batch_size = batch_size
        self.groups = groups
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in itertools.islice(self._global_batches(), self.start, None):
            yield batch[self.rank :: self.world_size]

    def _global_batches(self) -> Iterator[list[tuple[int, int]]]:
        waiting: dict[int, list[tuple[int, int]]] = {}
        for position, index in enumerate(self.stream):
            group = 0 if self.groups is None else self.groups[index]
            batch = waiting.setdefault(group, [])
            batch.append((position, index))
            if len(batch) == self.batch_size:
                del waiting[group]
                yield batch


class _SeededItems(Dataset):
    """Maps (position, index) to dataset[index], with the global generators seeded from (seed, position) meanwhile."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        position, index = item
        with _seeded(self.seed, position):
            return self.dataset[index]


@contextlib.contextmanager
def _seeded(*entropy: int) -> Iterator[None]:
    """Seeds the generators that augmentations draw from, and puts them back after.

    Without workers items are made in the training process, whose own draws (diffusion noise) must not notice.
    """
    numpy_state, python_state, torch_state = np.random.get_state(), random.getstate(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(4)
    np.random.seed(words)
    random.seed(int(words[0]))
    torch.default_generator.manual_seed(int(words[1]))
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.set_rng_state(torch_state)


def build_train_loader(
    dataset: DatasetDicts,
    *,
    mapper: Mapper,
    total_batch_size: int,
    num_workers: int = 0,
    seed: int = 0,
    start_iter: int = 0,
    aspect_ratio_grouping: bool = True,
    sampler: Iterable[int] | None = None,
) -> DataLoader:
    """Builds the endless loader of training batches of this process.

    Args:
        dataset: detectron2 dataset dicts; grouping needs their "width" and "height".
        mapper: from dataset dict to model input.
        total_batch_size: images per batch over all processes.
        num_workers: loading processes; 0 loads in this one.
        seed: of order and augmentation.
        start_iter: batches already consumed; the loader continues with the next.
        aspect_ratio_grouping: a batch holds landscape images only or others only, which saves padding.
        sampler: another stream of indices, endless, the same in all processes and starting anew at every `iter()`
            (detectron2's own samplers deal to processes themselves and do not fit). None: shuffled epochs.

    Returns:
        a loader of lists of model inputs.

    Raises:
        ValueError: see `ResumableTrainingSampler` and `ResumableBatchSampler`.
    """
    stream = ResumableTrainingSampler(len(dataset), seed=seed) if sampler is None else sampler
    batches = ResumableBatchSampler(
        stream,
        total_batch_size,
        groups=[int(d["width"] > d["height"]) for d in dataset] if aspect_ratio_grouping else None,
        start=start_iter,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    return DataLoader(
        _SeededItems(MapDataset(DatasetFromList(dataset, copy=False), mapper), seed),
        batch_sampler=batches,
        # A loader draws its workers' seeds; its own generator keeps it from drawing on torch's global one.
        generator=torch.Generator().manual_seed(seed),
        **_transport(num_workers),
    )


def build_test_loader(
    dataset: DatasetDicts, *, mapper: Mapper, batch_size: int = 1, num_workers: int = 0
) -> DataLoader:
    """Builds the loader that passes once over this process's share of `dataset`, in order.

    Args:
        dataset: detectron2 dataset dicts.
        mapper: from dataset dict to model input.
        batch_size: images per batch of this process (detectron2 v0.6's own builder knows batches of one only).
        num_workers: loading processes; 0 loads in this one.

    Raises:
        ValueError: there are no images.
    """
    if not dataset:
        raise ValueError("the test set has 0 images; it needs at least 1")
    return DataLoader(
        MapDataset(DatasetFromList(dataset, copy=False), mapper),
        batch_size=batch_size,
        sampler=InferenceSampler(len(dataset)),
        generator=torch.Generator().manual_seed(0),
        **_transport(num_workers),
    )


def _transport(num_workers: int) -> dict[str, Any]:
    """Arguments of a DataLoader: how its batches come from the workers and go to a GPU."""
    if num_workers:
        _allow_open_files()
    # Page-locked images are copied to the GPU while it computes. Tensors in Instances stay as they are.
    return {"num_workers": num_workers, "collate_fn": _as_list, "pin_memory": torch.cuda.is_available()}


def _allow_open_files() -> None:
    """Raises this process's limit of open files: every tensor from a worker takes one, and 1024 is a usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _as_list(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return batch
