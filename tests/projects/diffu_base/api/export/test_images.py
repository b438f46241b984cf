"""Sizes of the images on which an export is checked."""

import numpy as np
import pytest

from projects.diffu_base.api.export.images import batches, fitting


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((100, 200), (800, 1333), (666, 1333)),
        ((200, 100), (800, 1333), (1333, 666)),  # upright
        ((300, 400), (800, 1333), (800, 1067)),
        ((50, 50), (320, 320), (320, 320)),
    ],
)
def test_an_image_keeps_its_proportion_and_fits(shape, size, expected):
    assert fitting(shape, size) == expected


def test_sides_are_rounded_to_multiples():
    assert fitting((300, 400), (800, 1344), divisor=32) == (800, 1056)
    assert fitting((1, 100), (64, 128), divisor=32) == (32, 128)


def test_images_fill_whole_batches_of_one_size():
    images = [np.full((h, w, 3), value, dtype=np.uint8) for value, (h, w) in enumerate([(10, 20), (20, 10), (10, 10)])]
    fixed = list(batches(images, (8, 12), 2, any_size=False))
    assert [batch.shape for batch in fixed] == [(2, 3, 8, 12)] * 2
    assert fixed[1][:, 0, 0, 0].tolist() == [2, 0] and fixed[0].dtype == np.float32
    assert [batch.shape for batch in batches(images, (8, 12), 1, any_size=True)] == [
        (1, 3, 6, 12), (1, 3, 12, 6), (1, 3, 8, 8),
    ]  # fmt: skip
