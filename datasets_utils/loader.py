"""Data loaders that continue a training run exactly where it stopped.

The order of the images and the random numbers of each image's augmentation depend on the seed and on the position in
the stream of images alone. The global batches are therefore the same for any number of workers and of processes, and
with and without interruptions.

All workers share one copy of the data set, because `DatasetFromList` keeps it as pickled bytes. It unpickles an item
each time the item is read, so `copy=False` is safe: no one else holds the object.
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

MAX_OPEN_FILES = 65536  # per process, where the system allows it

DatasetDicts = list[dict[str, Any]]
Mapper = Callable[[dict[str, Any]], dict[str, Any]]


class ResumableTrainingSampler(Sampler[int]):
    """An endless stream of image indices, in which every epoch has all images in an order of its own.

    All processes share this one stream, and every `iter()` starts it from the beginning. `ResumableBatchSampler` deals
    it out to the processes and finds the place at which to resume.

    Args:
        size: the number of images.
        seed: the order of an epoch depends on the seed and the epoch's number alone.

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
    """Cuts a stream of image indices into global batches and yields this process's share of each batch.

    To resume, it replays the indices of the batches that are done, which takes about a second per million images.

    Args:
        stream: endless indices. They are the same in all processes, and every `iter()` starts them from the beginning.
        batch_size: the number of images in a global batch, that of all processes together.
        groups: the group of each image. A batch has images of one group only. None puts all images into one group.
        start: the number of global batches that are done already.
        rank: the number of this process. It takes the images rank, rank + world_size, ... of every batch.
        world_size: the number of processes.

    Yields:
        a list of batch_size / world_size pairs (position in the stream, index of the image).

    Raises:
        ValueError: `batch_size` is not a positive multiple of `world_size`, or `start` is negative.
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
    """The item at (position, index) is `dataset[index]`, made with global generators seeded by (seed, position)."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        position, index = item
        with _seeded(self.seed, position):
            return self.dataset[index]


@contextlib.contextmanager
def _seeded(*entropy: int) -> Iterator[None]:
    """Seeds the generators from which augmentations draw, and restores their states at the end.

    Without workers the training process itself makes the items. Its other draws, such as those of the diffusion's
    noise, must be the same as with workers.
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
    """Returns the endless loader of this process's training batches, which are lists of model inputs.

    Args:
        dataset: detectron2 dataset dicts, with "width" and "height" if images are grouped.
        mapper: makes a model input of a dataset dict.
        total_batch_size: the number of images in a batch, over all processes.
        num_workers: the number of processes that load images for this one; with 0 this process does.
        seed: determines the order of the images and their augmentation.
        start_iter: the number of batches that are done already. The loader continues with the next batch.
        aspect_ratio_grouping: save padding: in a batch, either all images are landscape or none is.
        sampler: the `stream` of `ResumableBatchSampler`; None shuffles the images in every epoch. detectron2's samplers
            do not fit, because they deal out to the processes themselves.

    Raises:
        ValueError: see `ResumableTrainingSampler` and `ResumableBatchSampler`.
    """
    stream = ResumableTrainingSampler(len(dataset), seed=seed) if sampler is None else sampler
    groups = [int(d["width"] > d["height"]) for d in dataset] if aspect_ratio_grouping else None
    batches = ResumableBatchSampler(
        stream,
        total_batch_size,
        groups=groups,
        start=start_iter,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    return DataLoader(
        _SeededItems(MapDataset(DatasetFromList(dataset, copy=False), mapper), seed),
        batch_sampler=batches,
        # A DataLoader draws seeds for its workers. With a generator of its own it leaves torch's global one alone.
        generator=torch.Generator().manual_seed(seed),
        **_transport(num_workers),
    )


def build_test_loader(
    dataset: DatasetDicts, *, mapper: Mapper, batch_size: int = 1, num_workers: int = 0
) -> DataLoader:
    """Returns a loader that passes once over this process's share of a data set, in order.

    Its batches are lists of model inputs. detectron2 v0.6 has such a function too, but only for batches of one image.

    Args:
        dataset: detectron2 dataset dicts.
        mapper: makes a model input of a dataset dict.
        batch_size: the number of images in a batch of this process.
        num_workers: the number of processes that load images for this one; with 0 this process does.

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
    """Returns the arguments of a DataLoader that say how workers send batches and how a GPU receives them."""
    if num_workers:
        _allow_open_files()
    # A GPU can copy images from page-locked ("pinned") memory while it computes. Tensors in Instances are not pinned.
    return {"num_workers": num_workers, "collate_fn": _as_list, "pin_memory": torch.cuda.is_available()}


def _allow_open_files() -> None:
    """Raises this process's limit of open files. Every tensor from a worker is an open file; 1024 is a usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _as_list(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return batch
