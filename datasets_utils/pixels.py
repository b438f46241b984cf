"""Turns pixels of any kind into RGB with 8 bits a channel, which is what models take."""

import logging
import os

import numpy as np
from detectron2.utils.file_io import PathManager
from PIL import Image, ImageOps

logger = logging.getLogger(__name__)

DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits of a pixel's value that cameras and file formats have


def read_image(path: str | os.PathLike, channels: str = "RGB") -> np.ndarray:
    """Read an image file as training, evaluation and prediction see it.

    Args:
        path: a path, or an address that detectron2 knows.
        channels: "RGB" or "BGR".

    Returns:
        (H, W, 3) uint8, see `rgb_of`.

    Raises:
        ValueError: see `rgb_of`.
        OSError: the file is no image, damaged or not there.
    """
    with PathManager.open(os.fspath(path), "rb") as file, Image.open(file) as image:
        pixels = rgb_of(image, os.fspath(path))
    return pixels if channels == "RGB" else pixels[..., ::-1]


def rgb_of(image: Image.Image, name: str = "the image") -> np.ndarray:
    """The pixels of an image, (H, W, 3) uint8, upright as its EXIF orientation says.

    Grey, palette, CMYK and images with transparency become RGB; the transparency is dropped. Grey values of more than 8
    bits and floats are scaled by `eight_bits`.

    Raises:
        ValueError: see `eight_bits`; or the file is damaged, then OSError.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow would clip these at 255
        return np.repeat(eight_bits(np.asarray(image), name)[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def eight_bits(values: np.ndarray, name: str = "the image") -> np.ndarray:
    """Scale pixel values to 0..255, uint8.

    Integers: the depth is the smallest of 8, 10, 12, 14, 16, 24 and 32 bits that holds the largest value, and its range
    becomes 0..255, so that pictures of a 12-bit camera in 16-bit files are not black. Floats: from 0..1 they are
    multiplied by 255, in 0..255 they are rounded.

    Args:
        values: of any shape, but not empty.
        name: of the image, for errors.

    Raises:
        ValueError: the values are neither integers nor floats, or lie outside these ranges.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} has values of type {values.dtype}; integers and floats are allowed")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are NaN or infinite")
    least, largest = values.min(), values.max()
    if least < 0:
        raise ValueError(f"{name} has values from {least:g} to {largest:g}; negative ones are not allowed")
    if values.dtype.kind in "iu":
        depth = next(bits for bits in (*DEPTHS, 64) if largest < 2**bits)
        return (values * (255 / (2**depth - 1))).round().astype(np.uint8)
    if largest > 255:
        raise ValueError(f"{name} has values from {least:g} to {largest:g}; floats must lie in 0..255 or in 0..1")
    if 0 < largest <= 1:
        logger.warning(f"{name} has values from {least:g} to {largest:g}; they are multiplied by 255")
        values = values * 255
    return values.round().astype(np.uint8)
