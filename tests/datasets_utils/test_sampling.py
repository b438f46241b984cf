import itertools

import numpy as np
import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from datasets_utils.sampling import ResumableRepeatFactorSampler, build_repeat_factor_loader, repeat_factors


def long_tailed(num_images: int = 400, seed: int = 0) -> list[dict]:
    """Images of four categories whose frequency falls by eight each; some images are empty."""
    rng = np.random.default_rng(seed)
    dataset = []
    for i in range(num_images):
        categories = [c for c in range(4) if rng.random() < 0.7 / 8**c]
        annotations = [{"category_id": c} for c in categories]
        dataset.append({"image_id": i, "width": 20, "height": 10 + i % 20, "annotations": annotations})
    return dataset


def mapper(record):
    return record["image_id"]


def loaded(dataset, count: int, **settings) -> list[list[int]]:
    settings = {"total_batch_size": 4, "seed": 3, "repeat_thresh": 0.1, **settings}
    return list(itertools.islice(build_repeat_factor_loader(dataset, mapper=mapper, **settings), count))


@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.5])
def test_factors_are_those_of_detectron2(threshold):
    dataset = long_tailed()
    expected = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(dataset, threshold)
    torch.testing.assert_close(torch.tensor(repeat_factors(dataset, threshold)), expected)


def test_factor_of_an_image_is_that_of_its_rarest_category():
    with_categories = [{0}, {0}, {0, 1}, set()]
    dataset = [{"annotations": [{"category_id": c} for c in categories]} for categories in with_categories]
    # Category 1 is in a quarter of the images: sqrt(1 / 0.25) = 2; category 0 in three quarters: sqrt(4 / 3).
    assert repeat_factors(dataset, 1.0) == pytest.approx([1.1547005, 1.1547005, 2.0, 1.0])


def test_images_come_as_often_as_their_factor_says():
    factors = [1.0, 2.0, 1.25, 3.5]
    sampler = ResumableRepeatFactorSampler(factors, seed=0)
    counts = np.stack([np.bincount(sampler.indices_of_epoch(epoch), minlength=4) for epoch in range(2000)])
    assert set(counts[:, 0]) == {1} and set(counts[:, 1]) == {2}
    assert set(counts[:, 2]) == {1, 2} and set(counts[:, 3]) == {3, 4}
    # The standard deviation of the mean of 2,000 draws is at most 0.011.
    np.testing.assert_allclose(counts.mean(0), factors, atol=0.05)


def test_fractions_and_order_are_drawn_anew_each_epoch_from_seed_and_epoch():
    sampler = ResumableRepeatFactorSampler([1.5] * 20, seed=1)
    first, second = sampler.indices_of_epoch(0), sampler.indices_of_epoch(1)
    assert sorted(first) != sorted(second)
    np.testing.assert_array_equal(first, ResumableRepeatFactorSampler([1.5] * 20, seed=1).indices_of_epoch(0))
    assert sorted(first) != sorted(ResumableRepeatFactorSampler([1.5] * 20, seed=2).indices_of_epoch(0))
    stream = list(itertools.islice(sampler, len(first) + len(second)))
    assert stream == [*first, *second] == list(itertools.islice(sampler, len(stream)))


def test_factors_of_one_give_plain_epochs():
    stream = list(itertools.islice(ResumableRepeatFactorSampler([1.0] * 7, seed=0), 14))
    assert sorted(stream[:7]) == sorted(stream[7:]) == list(range(7))


@pytest.mark.parametrize("start", [1, 30])
def test_a_resumed_loader_gives_the_tail_of_the_whole_stream(start):
    dataset = long_tailed(50)
    whole = loaded(dataset, 60)
    assert loaded(dataset, 60 - start, start_iter=start) == whole[start:]


def test_rare_images_come_oftener_through_the_loader():
    dataset = long_tailed(100)
    factors = np.array(repeat_factors(dataset, 0.1))
    assert factors.max() > 1.5
    epochs = loaded(dataset, int(10 * factors.sum() / 4), aspect_ratio_grouping=False)
    counts = np.bincount(list(itertools.chain(*epochs)), minlength=100)
    assert counts[factors == factors.max()].mean() > 1.4 * counts[factors == 1].mean()


@pytest.mark.parametrize(
    ("factors", "seed", "message"),
    [
        ([], 0, r"repeat_factors.*\(0,\)"),
        ([1.0, 0.5], 0, "repeat_factors.*0.5.*at least 1"),
        ([1.0, float("nan")], 0, "repeat_factors.*nan.*finite"),
        ([1.0], -1, "seed.*-1.*0 or more"),
    ],
)
def test_impossible_factors_are_refused_by_name(factors, seed, message):
    with pytest.raises(ValueError, match=message):
        ResumableRepeatFactorSampler(factors, seed=seed)


def test_impossible_threshold_is_refused_by_name():
    with pytest.raises(ValueError, match=r"repeat_thresh.*0.*\(0, 1\]"):
        repeat_factors(long_tailed(3), 0)
