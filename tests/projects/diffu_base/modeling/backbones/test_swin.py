"""Swin: the published implementation's outputs and sizes, on images that neither windows nor strides divide."""

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from torch.testing import assert_close

from projects.diffu_base.config import backbones
from projects.diffu_base.modeling.backbones.swin import SwinTransformer, shift_mask
from tests.support.golden import DATA, fill

TINY = dict(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def tiny_swin(window_size=7, **options):
    options = {**TINY, "out_indices": (0, 1, 2, 3), **options}
    return fill(SwinTransformer(window_size=window_size, **options), 5).eval()


@pytest.mark.parametrize("window_size", [7, 12])
def test_outputs_are_the_reference_implementation_s(window_size):
    images = np.random.RandomState(0).standard_normal((1, 3, 90, 62)).astype(np.float32)
    with torch.no_grad():
        maps = tiny_swin(window_size)(torch.from_numpy(images))
    with np.load(DATA / "swin.npz") as reference:
        assert_close(maps, {name: torch.from_numpy(reference[f"window{window_size}_{name}"]) for name in maps})
    assert list(maps) == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("size", [(131, 93), (64, 96), (33, 200), (5, 7), (1, 1)])
def test_maps_of_images_of_any_size_follow_the_stated_shapes(size):
    swin = tiny_swin(out_indices=(1, 2, 3))
    maps = swin(torch.zeros(1, 3, *size))
    shapes = swin.output_shape()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == {
        "p1": (16, 8),
        "p2": (32, 16),
        "p3": (64, 32),
    }
    assert {name: x.shape for name, x in maps.items()} == {
        name: (1, shape.channels, -(-size[0] // shape.stride), -(-size[1] // shape.stride))
        for name, shape in shapes.items()
    }


def test_a_batch_gives_what_its_images_give_alone():
    swin, images = tiny_swin(), torch.randn(2, 3, 70, 45)
    batch = swin(images)
    for i in range(2):
        alone = swin(images[i : i + 1])
        assert_close({name: x[i : i + 1] for name, x in batch.items()}, alone)


def test_every_parameter_is_trained():
    """DistributedDataParallel waits for the gradient of every parameter."""
    swin = tiny_swin(out_indices=(1, 3), drop_path_rate=0.0).train()
    sum(x.square().sum() for x in swin(torch.randn(1, 3, 70, 45)).values()).backward()
    assert all(p.requires_grad and p.grad.abs().sum() > 0 for p in swin.parameters())


def test_stochastic_depth_rises_over_the_blocks_and_rests_in_evaluation():
    swin, images = tiny_swin(drop_path_rate=0.7), torch.randn(1, 3, 32, 32)
    rates = [block.drop_path.drop_prob for stage in swin.layers for block in stage.blocks]
    assert rates == pytest.approx([0.1 * i for i in range(8)])
    assert_close(swin(images), swin(images), rtol=0, atol=0)
    swin.train()
    assert not torch.equal(swin(images)["p3"], swin(images)["p3"])


def test_shifted_windows_attend_within_their_part_of_the_map():
    # One window of 4 × 4, shifted by 2: its quadrants come from the four corners of the map.
    mask = shift_mask(4, 4, 4, torch.zeros(()))
    row, column = torch.arange(16) // 4, torch.arange(16) % 4
    quadrant = 2 * (row // 2) + column // 2
    assert_close(mask, torch.where(quadrant[:, None] == quadrant, 0.0, -100.0)[None])
    # 5 × 4 cells are padded to 8 × 4, which two windows cover. In the first one all rows are neighbours. The second one
    # holds padding and, below it, rows that the shift has carried there from the top of the map.
    first, second = shift_mask(5, 4, 4, torch.zeros(()))
    assert_close(first, torch.where((column // 2)[:, None] == column // 2, 0.0, -100.0))
    assert_close(second, mask[0])


@pytest.mark.parametrize(
    ("size", "image_size", "parameters"),
    [
        ("tiny", 224, 27_520_506),
        ("small", 224, 48_838_410),
        ("base", 224, 86_744_760),
        ("base", 384, 86_880_120),
        ("large", 224, 194_997_780),
        ("large", 384, 195_200_820),
    ],
)
def test_published_sizes_have_the_reference_s_number_of_parameters(size, image_size, parameters):
    with torch.device("meta"):
        swin = instantiate(backbones.swin(size, image_size=image_size))
    assert sum(p.numel() for p in swin.parameters()) == parameters


@pytest.mark.parametrize("out_indices", [(1, 2), (3, 4), (-1, 3), ()])
def test_stages_that_lead_nowhere_or_are_not_there_are_refused(out_indices):
    with pytest.raises(ValueError, match=r"out_indices is .*; allowed are numbers from 0 to 3, 3 among them"):
        SwinTransformer(**TINY, out_indices=out_indices)
    with pytest.raises(ValueError, match="num_heads .* one number per stage"):
        SwinTransformer(8, (2, 2), (1, 2, 4))


@pytest.mark.parametrize(("size", "image_size"), [("huge", 224), ("base", 300)])
def test_a_size_that_nobody_published_is_refused(size, image_size):
    with pytest.raises(ValueError, match=f"{size}.*{image_size}.*tiny, small, base, large.*224, 384"):
        backbones.swin(size, image_size=image_size)
