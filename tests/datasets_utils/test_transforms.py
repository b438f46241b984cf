import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.data import transforms as T
from omegaconf import OmegaConf
from PIL import Image

from datasets_utils import FastResizeShortestEdge, FastResizeTransform


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def photograph(scenes_root):
    return np.asarray(Image.open(sorted((scenes_root / "train").iterdir())[0]).convert("RGB"))


def both_ways(image, size):
    fast, pillow = (
        resize(*image.shape[:2], *size).apply_image(image) for resize in (FastResizeTransform, T.ResizeTransform)
    )
    assert fast.dtype == pillow.dtype == np.uint8 and fast.shape == pillow.shape
    return fast.astype(float), pillow.astype(float)


def exactly(image, size):
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double()
    return F.interpolate(planes, size=size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(41, 50), (78, 105), (97, 60), (102, 138), (150, 203), (331, 453)])
@pytest.mark.parametrize("content", ["noise", "black_and_white", "photograph"])
def test_pixels_are_as_near_to_the_exact_ones_as_pillows(request, content, size):
    image = request.getfixturevalue("noise" if content == "black_and_white" else content)
    if content == "black_and_white":
        image = (image // 128) * np.uint8(255)
    (fast, pillow), exact = both_ways(image, size), exactly(image, size)
    assert np.abs(fast - exact).max() < 1.05  # half a level from each of two roundings, and the weights' precision
    assert np.abs(fast - exact).mean() < np.abs(pillow - exact).mean() + 0.01
    assert np.abs(fast - pillow).max() <= 2 and abs((fast - pillow).mean()) < 0.02


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[:, ::-1],
        lambda image: image[::-1, ::-1],
        lambda image: image[:, :, ::-1],
        lambda image: image[5:60, 7:90],
        lambda image: image[5:60, 90:7:-1],
        lambda image: image[:, :, :1],
        lambda image: np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
    ],
    ids=["mirrored", "turned", "bgr", "cropped", "cropped and mirrored", "grey", "planes"],
)
def test_images_may_be_any_view(noise, view):
    before = noise.copy()
    fast, pillow = both_ways(view(noise), (140, 77))
    assert np.abs(fast - pillow).max() <= 2 and np.abs(fast - pillow).mean() < 0.05
    np.testing.assert_array_equal(noise, before)


def test_read_only_images_are_taken_without_a_warning(noise):
    read_only = noise[:, ::-1]
    read_only.flags.writeable = False
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resized = FastResizeTransform(97, 131, 50, 60).apply_image(read_only)
    finally:
        torch.set_warn_always(False)
    assert resized.flags.writeable


def test_bilinear_uint8_images_do_not_pass_through_pillow(noise, monkeypatch):
    monkeypatch.setattr(T.ResizeTransform, "apply_image", None)
    assert FastResizeTransform(97, 131, 50, 60).apply_image(noise).shape == (50, 60, 3)


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: (image / np.float32(255), None),
        lambda image: (image[..., 0], None),
        lambda image: (image, Image.BICUBIC),
        lambda image: (image, Image.NEAREST),
    ],
    ids=["float", "two dimensions", "bicubic", "nearest"],
)
def test_other_images_and_filters_are_left_to_detectron2(noise, convert):
    image, interp = convert(noise)
    fast, slow = (c(97, 131, 50, 60).apply_image(image, interp) for c in (FastResizeTransform, T.ResizeTransform))
    np.testing.assert_array_equal(fast, slow)


def test_coordinates_and_masks_are_detectron2s_and_the_inverse_leads_back(noise):
    fast, slow = (c(97, 131, 194, 393) for c in (FastResizeTransform, T.ResizeTransform))
    points = np.array([[0.0, 0.0], [131.0, 97.0], [10.5, 4.25]])
    np.testing.assert_array_equal(fast.apply_coords(points.copy()), points * [3, 2])
    np.testing.assert_array_equal(fast.apply_segmentation(noise[..., 0]), slow.apply_segmentation(noise[..., 0]))
    np.testing.assert_allclose(fast.inverse().apply_coords(points * [3, 2]), points)
    assert fast.inverse().apply_image(fast.apply_image(noise)).shape == noise.shape


def test_an_image_of_another_size_is_refused(noise):
    with pytest.raises(ValueError, match="97 x 131.*131 x 97"):
        FastResizeTransform(131, 97, 50, 60).apply_image(noise)


@pytest.mark.parametrize(
    "settings",
    [
        dict(short_edge_length=OmegaConf.create([48, 64, 80]), max_size=90, sample_style="choice"),
        dict(short_edge_length=(40, 90), sample_style="range"),
        dict(short_edge_length=[60], sample_style="choice"),
        dict(short_edge_length=60),
    ],
)
def test_sizes_are_drawn_as_detectron2_draws_them(noise, settings):
    sizes = []
    for augmentation in (FastResizeShortestEdge(**settings), T.ResizeShortestEdge(**settings)):
        np.random.seed(0)
        drawn = [augmentation.get_transform(noise) for _ in range(20)]
        sizes.append([(t.h, t.w, t.new_h, t.new_w) for t in drawn])
    assert sizes[0] == sizes[1]


def test_an_edge_length_of_zero_leaves_the_image_as_it_is(noise):
    inputs = T.AugInput(noise)
    FastResizeShortestEdge(0)(inputs)
    assert inputs.image is noise


def test_the_augmentation_resizes_by_the_fast_transform(noise):
    assert isinstance(FastResizeShortestEdge(60).get_transform(noise), FastResizeTransform)
