"""What a person hands in as images: paths, globs, folders, addresses, Pillow images, arrays and tensors."""

import glob
import io
import os
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from datasets_utils.pixels import eight_bits, rgb_of

SUFFIXES = frozenset(Image.registered_extensions()) - {".pdf", ".mpg", ".mpeg"}
SECONDS_FOR_AN_ADDRESS = 30.0
CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Source:
    """One image that is not read yet.

    Attributes:
        name: what the results call it: the path or address, or "images[3]".
        read: returns its pixels, RGB (H, W, 3) uint8.
        is_file: whether the image comes from outside. What goes wrong then is no mistake in a program.
    """

    name: str
    read: Callable[[], np.ndarray]
    is_file: bool


def sources_of(images: Any, *, channels: str = "RGB") -> Iterator[Source]:
    """One source after another, in the order given; folders and globs in the order of their names.

    Args:
        images: one or an iterable of: the path of an image file, a folder (the image files in it), a glob, an
            http:// or https:// address, a Pillow image, an array (H, W, 3) or (H, W), a tensor (3, H, W) or (1, H, W),
            or an array or tensor of several such images.
        channels: the order of the channels of arrays and tensors, "RGB" or "BGR" (OpenCV's).

    Raises:
        ValueError: `images` is empty, one of them has a wrong type, shape or value, a folder or glob has no images. The
            message names it.
    """
    if channels not in CHANNEL_ORDERS:
        raise ValueError(f"channels is {channels!r}; allowed are {' and '.join(CHANNEL_ORDERS)}")
    if _is_one(images):
        yield from _expand(images, "the image", channels)
        return
    if not isinstance(images, Iterable):
        raise ValueError(f"images is of type {type(images).__name__}; {ALLOWED}")
    found = False
    for position, each in enumerate(images):
        found = True
        yield from _expand(each, f"images[{position}]", channels)
    if not found:
        raise ValueError(f"images is empty; {ALLOWED}")


ALLOWED = "allowed are paths, folders, globs, addresses, Pillow images, arrays, tensors, and lists of these"


def _is_one(images: Any) -> bool:
    return isinstance(images, str | os.PathLike | Image.Image | np.ndarray | torch.Tensor)


def _expand(given: Any, name: str, channels: str) -> Iterator[Source]:
    """The sources that one entry stands for."""
    if isinstance(given, str | os.PathLike):
        yield from _of_path(os.fspath(given))
    elif isinstance(given, Image.Image):
        yield Source(name, partial(rgb_of, given, name), is_file=False)
    elif isinstance(given, np.ndarray | torch.Tensor):
        yield from _of_numbers(given, name, channels)
    else:
        raise ValueError(f"{name} is of type {type(given).__name__}; {ALLOWED}")


def _of_path(text: str) -> Iterator[Source]:
    if text.startswith(("http://", "https://")):
        yield Source(text, partial(_read_address, text), is_file=True)
        return
    path = Path(text).expanduser()
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        if not files:
            raise ValueError(f"the folder {text!r} has no image files; {text.rstrip('/')}/**/*.jpg looks below it too")
    elif glob.has_magic(text) and not path.exists():
        files = sorted(Path(each) for each in glob.glob(os.path.expanduser(text), recursive=True))
        files = [each for each in files if each.is_file()]
        if not files:
            raise ValueError(f"no file fits the pattern {text!r}")
    else:
        files = [path]
    for file in files:
        yield Source(str(file), partial(_read_file, file), is_file=True)


def _read_file(path: Path) -> np.ndarray:
    if not path.exists():
        raise ValueError("no such file")
    if not path.is_file():
        raise ValueError("not a file")
    with path.open("rb") as file:
        return _decoded(file, str(path))


def _read_address(address: str) -> np.ndarray:
    with urllib.request.urlopen(address, timeout=SECONDS_FOR_AN_ADDRESS) as response:
        return _decoded(io.BytesIO(response.read()), address)


def _decoded(file: Any, name: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return rgb_of(image, name)
    except Image.UnidentifiedImageError as error:
        raise ValueError("not an image, or of a kind that Pillow does not read") from error


def _of_numbers(given: np.ndarray | torch.Tensor, name: str, channels: str) -> Iterator[Source]:
    """The sources of an array or tensor, which may hold several images."""
    if given.ndim == 4:
        for position, each in enumerate(given):
            yield from _of_numbers(each, f"{name}[{position}]", channels)
        return
    if isinstance(given, torch.Tensor):
        yield Source(name, partial(_pixels_of_tensor, given, name, channels), is_file=False)
    else:
        yield Source(name, partial(_pixels_of_array, given, name, channels), is_file=False)


def _pixels_of_tensor(tensor: torch.Tensor, name: str, channels: str) -> np.ndarray:
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        layout = " (channels stand first in a tensor)" if tensor.ndim == 3 and tensor.shape[-1] in (1, 3) else ""
        raise ValueError(
            f"{name} is a tensor of shape {tuple(tensor.shape)}; it must be (3, H, W) or (1, H, W){layout}"
        )
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()  # NumPy has no bfloat16
    return _pixels_of_array(tensor.detach().cpu().permute(1, 2, 0).numpy(), name, channels)


def _pixels_of_array(array: np.ndarray, name: str, channels: str) -> np.ndarray:
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        layout = " (channels stand last in an array)" if array.ndim == 3 and array.shape[0] in (1, 3) else ""
        raise ValueError(
            f"{name} is an array of shape {array.shape}; it must be (H, W, 3), (H, W, 1) or (H, W){layout}"
        )
    pixels = eight_bits(array, name)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels[..., ::-1] if channels == "BGR" else pixels
