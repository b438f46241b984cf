"""Pixels of every kind become RGB with 8 bits a channel."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets_utils import DetrDatasetMapper
from datasets_utils.pixels import eight_bits, read_image, rgb_of

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def reread(image: Image.Image, kind: str, **options) -> Image.Image:
    """The image, written to a file of this kind and opened again."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return Image.open(file)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY),
        Image.fromarray(as_rgb(GREY)),
        Image.fromarray(GREY).convert("RGBA"),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("P"),
        reread(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        reread(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        reread(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        reread(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        reread(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
    ],
    ids=lambda image: f"{image.format or 'memory'}-{image.mode}",
)
def test_every_kind_of_grey_picture_keeps_its_values(image):
    pixels = rgb_of(image)
    assert pixels.dtype == np.uint8 and pixels.shape == (6, 8, 3)
    np.testing.assert_allclose(pixels.astype(int), as_rgb(GREY), atol=1)


def test_cmyk_becomes_rgb():
    colors = np.zeros((4, 4, 3), np.uint8)
    colors[..., 0] = 200
    np.testing.assert_allclose(rgb_of(Image.fromarray(colors).convert("CMYK")), colors)


def test_a_picture_is_turned_as_exif_says():
    wide = Image.fromarray(as_rgb(GREY))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    turned = rgb_of(reread(wide, "PNG", exif=exif))
    np.testing.assert_array_equal(turned, np.rot90(as_rgb(GREY), -1))


def test_the_values_of_a_12_bit_camera_in_a_16_bit_file_are_not_black():
    values = np.array([[0, 2048, 4095]], np.uint16)
    assert eight_bits(values).tolist() == [[0, 128, 255]]
    assert eight_bits(np.array([[0, 257, 65535]], np.uint16)).tolist() == [[0, 1, 255]]


def test_integers_of_8_bits_stay_as_they_are():
    values = np.array([[0, 3, 255]])
    assert eight_bits(values).tolist() == values.tolist()


def test_floats_of_0_to_1_are_scaled_with_a_warning(caplog):
    assert eight_bits(np.array([[0.0, 0.5, 1.0]]), "images[3]").tolist() == [[0, 128, 255]]
    assert "images[3] has values from 0 to 1; they are multiplied by 255" in caplog.text
    caplog.clear()
    assert eight_bits(np.array([[0.0, 127.6, 255.0]])).tolist() == [[0, 128, 255]]
    assert not caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.0, np.nan]]), "x has values that are NaN or infinite"),
        (np.array([[0.0, np.inf]]), "x has values that are NaN or infinite"),
        (np.array([[-1.0, 2.0]]), "x has values from -1 to 2; negative ones are not allowed"),
        (np.array([[0.0, 300.0]]), "floats must lie in 0..255 or in 0..1"),
        (np.array([[True]]), "x has values of type bool"),
        (np.array([[1 + 1j]]), "x has values of type complex128"),
    ],
)
def test_other_values_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message.replace("..", r"\.\.")):
        eight_bits(values, "x")


@pytest.mark.parametrize("kind", ["grey8.png", "grey16.png", "grey16.tif", "float.tif"])
def test_training_sees_pictures_of_16_bits_and_floats_as_they_are(tmp_path, kind):
    values = {"grey8": GREY, "grey16": GREY.astype(np.uint16) * 257, "float": GREY.astype(np.float32) / 255}
    Image.fromarray(values[kind.partition(".")[0]]).save(tmp_path / kind)
    mapper = DetrDatasetMapper([], None, is_train=False)
    pixels = mapper({"file_name": str(tmp_path / kind), "image_id": 1})["image"].numpy()
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.astype(int), np.stack([GREY] * 3), atol=1)


def test_a_file_is_read_in_either_order_of_channels(tmp_path):
    colors = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(colors).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colors)
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png"), "BGR"), colors[..., ::-1])
