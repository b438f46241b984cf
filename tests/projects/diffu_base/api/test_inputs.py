"""What can be handed in as images, and what is refused."""

import functools
import http.server
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from projects.diffu_base.api.inputs import sources_of

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.PNG", "below/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def names(images) -> list[str]:
    return [source.name for source in sources_of(images)]


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS.astype(np.float64),
        PIXELS.astype(np.int64),
        Image.fromarray(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1).float() / 255,
    ],
    ids=["array", "floats", "integers", "pillow", "tensor", "tensor of 0..1"],
)
def test_images_in_memory_have_the_same_pixels(image):
    (source,) = sources_of(image)
    assert source.name == "the image" and not source.is_file
    np.testing.assert_array_equal(source.read(), PIXELS)


def test_grey_arrays_and_tensors_become_rgb():
    grey = PIXELS[..., 0]
    for image in (grey, grey[..., None], torch.from_numpy(grey)[None]):
        (source,) = sources_of(image)
        np.testing.assert_array_equal(source.read(), np.stack([grey] * 3, -1))


def test_half_precision_tensors_are_read():
    for dtype in (torch.float16, torch.bfloat16):
        (source,) = sources_of(torch.from_numpy(PIXELS).permute(2, 0, 1).to(dtype))
        assert np.abs(source.read().astype(int) - PIXELS).max() <= 1


def test_bgr_is_turned_around_in_arrays_and_tensors():
    (source,) = sources_of(PIXELS[..., ::-1], channels="BGR")
    np.testing.assert_array_equal(source.read(), PIXELS)
    with pytest.raises(ValueError, match="channels is 'rgb'; allowed are RGB and BGR"):
        list(sources_of(PIXELS, channels="rgb"))


def test_an_array_of_several_images_and_lists_are_named_by_place():
    assert names(np.stack([PIXELS] * 2)) == ["the image[0]", "the image[1]"]
    assert names([PIXELS, torch.zeros(2, 3, 4, 4)]) == ["images[0]", "images[1][0]", "images[1][1]"]
    assert names(PIXELS for _ in range(2)) == ["images[0]", "images[1]"]


def test_paths_folders_and_globs(folder):
    assert names(folder / "b.png") == [f"{folder}/b.png"]
    assert names(str(folder)) == [f"{folder}/a.PNG", f"{folder}/b.png"]
    assert names(f"{folder}/**/*.png") == [f"{folder}/b.png", f"{folder}/below/c.png"]
    np.testing.assert_array_equal(next(sources_of(folder)).read(), PIXELS)


def test_a_name_with_the_signs_of_a_glob_is_a_file_if_there_is_one(tmp_path):
    path = tmp_path / "scan [1] (größer), a=b#2.png"
    Image.fromarray(PIXELS).save(path)
    assert names(str(path)) == [str(path)]


def test_addresses(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        good, gone = sources_of([address + "b.png", address + "gone.png"])
        np.testing.assert_array_equal(good.read(), PIXELS)
        with pytest.raises(OSError, match="404"):
            gone.read()
        server.shutdown()


@pytest.mark.parametrize(("name", "reason"), [("gone.png", "no such file"), ("notes.txt", "not an image")])
def test_a_file_that_cannot_be_read_says_so_when_it_is_read(folder, name, reason):
    (source,) = sources_of(folder / name)
    assert source.is_file
    with pytest.raises(ValueError, match=reason):
        source.read()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "images is empty"),
        (7, "images is of type int"),
        ([PIXELS, None], r"images\[1\] is of type NoneType"),
        ("nowhere*.png", "no file fits the pattern 'nowhere\\*.png'"),
        (np.zeros((0, 8, 3), np.uint8), r"the image is empty: its shape is \(0, 8, 3\)"),
        ([np.zeros((6, 8, 4), np.uint8)], r"images\[0\] is an array of shape \(6, 8, 4\); it must be \(H, W, 3\)"),
        (np.zeros((3, 6, 8), np.uint8), r"channels stand last in an array"),
        (torch.zeros(6, 8, 3), r"it must be \(3, H, W\) or \(1, H, W\) \(channels stand first in a tensor\)"),
        (torch.zeros(4, 6, 8), r"the image is a tensor of shape \(4, 6, 8\)"),
        (torch.full((3, 4, 4), float("nan")), "the image has values that are NaN or infinite"),
    ],
)
def test_mistakes_name_the_input(images, message):
    with pytest.raises(ValueError, match=message):
        for source in sources_of(images):
            source.read()


def test_a_folder_without_images_is_a_mistake(tmp_path):
    (tmp_path / "below").mkdir()
    with pytest.raises(ValueError, match="has no image files"):
        list(sources_of(tmp_path))
