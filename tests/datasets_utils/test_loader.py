import itertools
import random
import resource

import numpy as np
import pytest
import torch

from datasets_utils.loader import ResumableBatchSampler, ResumableTrainingSampler, build_test_loader, build_train_loader

DATASET = [{"image_id": i, "width": 20 if i % 3 else 10, "height": 15} for i in range(23)]


def noisy_mapper(dataset_dict):
    """Draws from every generator that augmentations may use."""
    draws = (np.random.rand(), random.random(), torch.rand(()).item())
    return {"image_id": dataset_dict["image_id"], "wide": dataset_dict["width"] > 15, "draws": draws}


def batches(count, **settings):
    settings = {"total_batch_size": 4, "seed": 1, **settings}
    return list(itertools.islice(build_train_loader(DATASET, mapper=noisy_mapper, **settings), count))


def test_every_epoch_holds_every_image_once_in_another_order():
    stream = list(itertools.islice(ResumableTrainingSampler(10, seed=0), 30))
    epochs = [stream[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


def test_another_seed_gives_another_order_and_other_augmentations():
    assert batches(3) == batches(3)
    first, second = batches(3), batches(3, seed=2)
    assert [[d["image_id"] for d in b] for b in first] != [[d["image_id"] for d in b] for b in second]
    assert not {d["draws"] for b in first for d in b} & {d["draws"] for b in second for d in b}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_do_not_change_the_stream(num_workers):
    assert batches(9, num_workers=num_workers) == batches(9)


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("start", [1, 6, 17])
def test_a_resumed_stream_is_the_tail_of_the_whole_one(start, grouping):
    whole = batches(20, aspect_ratio_grouping=grouping)
    assert batches(20 - start, aspect_ratio_grouping=grouping, start_iter=start) == whole[start:]


def test_an_image_is_augmented_differently_in_every_epoch():
    seen = [d["draws"] for b in batches(30) for d in b]
    assert len(set(seen)) == len(seen)


def test_loading_in_the_training_process_leaves_its_generators_alone():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    expected = torch.rand(()).item(), np.random.rand(), random.random()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    batches(3)
    assert (torch.rand(()).item(), np.random.rand(), random.random()) == expected


def test_grouped_batches_hold_one_orientation():
    grouped = batches(12, aspect_ratio_grouping=True)
    assert all(len({d["wide"] for d in batch}) == 1 for batch in grouped)
    assert {d["wide"] for batch in grouped for d in batch} == {True, False}


@pytest.mark.parametrize("groups", [None, [i % 2 for i in range(23)]])
def test_processes_partition_the_batch_of_one_process(groups):
    def take(rank, world_size):
        sampler = ResumableBatchSampler(
            ResumableTrainingSampler(23, seed=5), 6, groups=groups, start=2, rank=rank, world_size=world_size
        )
        return list(itertools.islice(sampler, 15))

    for whole, *parts in zip(take(0, 1), take(0, 3), take(1, 3), take(2, 3), strict=True):
        assert all(len(part) == 2 for part in parts)
        assert sorted(itertools.chain(*parts)) == sorted(whole)


def test_another_stream_of_indices_can_be_put_in():
    class TwiceTheFirst:
        def __iter__(self):
            return itertools.cycle([0, 0, 1, 2])

    ids = [d["image_id"] for b in batches(2, sampler=TwiceTheFirst(), aspect_ratio_grouping=False) for d in b]
    assert ids == [0, 0, 1, 2, 0, 0, 1, 2]


def test_impossible_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="total_batch_size.*5.*multiple.*2"):
        ResumableBatchSampler([0], 5, world_size=2)
    with pytest.raises(ValueError, match="start_iter.*-1"):
        batches(1, start_iter=-1)
    with pytest.raises(ValueError, match="seed.*-2"):
        batches(1, seed=-2)
    with pytest.raises(ValueError, match="training.*0 images"):
        build_train_loader([], mapper=noisy_mapper, total_batch_size=1)
    with pytest.raises(ValueError, match="test.*0 images"):
        build_test_loader([], mapper=noisy_mapper)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_test_loader_passes_once_in_order(batch_size):
    loader = build_test_loader(DATASET, mapper=noisy_mapper, batch_size=batch_size)
    assert [d["image_id"] for batch in loader for d in batch] == list(range(23))


def test_a_mapper_may_change_what_it_is_given():
    def use_up(dataset_dict):
        return dataset_dict.pop("image_id")

    loader = build_train_loader(DATASET, mapper=use_up, total_batch_size=23, aspect_ratio_grouping=False)
    first, second = itertools.islice(loader, 2)
    assert sorted(first) == sorted(second) == list(range(23))
    assert sorted(itertools.chain(*build_test_loader(DATASET, mapper=use_up))) == list(range(23))


def many_tensors(dataset_dict):
    return {str(i): torch.full((), dataset_dict["image_id"]) for i in range(12)}


@pytest.mark.parametrize("build", [build_train_loader, build_test_loader])
def test_batches_of_more_tensors_than_files_may_be_open_arrive(build):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        batch_size = {"total_batch_size" if build is build_train_loader else "batch_size": 16}
        loader = build(DATASET, mapper=many_tensors, num_workers=1, **batch_size)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 16 * 12  # or the worker would wait forever
        batch = next(iter(loader))
        assert len(batch) == 16 and all(len(set(map(int, inputs.values()))) == 1 for inputs in batch)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("has_gpu", [True, False])
@pytest.mark.parametrize("build", [build_train_loader, build_test_loader])
def test_batches_are_page_locked_where_there_is_a_gpu(monkeypatch, build, has_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    batch_size = {"total_batch_size": 1} if build is build_train_loader else {}
    assert build(DATASET, mapper=noisy_mapper, **batch_size).pin_memory == has_gpu
