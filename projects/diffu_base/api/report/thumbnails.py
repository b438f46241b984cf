"""Small copies of images as data URIs, so that a page needs no other file."""

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageOps

SIDES = (640, 560, 480, 400, 320, 260, 210, 170, 140, 110, 80, 60, 40)  # of the longer side, in pixels
QUALITY = 70
LARGEST_BYTES = 60_000  # of one image, where there are few
TEXT_PER_BYTE = 4 / 3  # base64
BYTES_PER_PIXEL = 0.1  # a small WebP of a photograph takes this or more


def thumbnails(paths: Sequence[Path], most_bytes: int) -> list[str | None]:
    """Returns a WebP image for each path, as text of a data URI; None for a file that cannot be read as an image.

    Args:
        paths: the image files.
        most_bytes: how long all texts together may be. It decides how large the copies are.
    """
    each = min(int(most_bytes / TEXT_PER_BYTE / max(len(paths), 1)), LARGEST_BYTES)
    with ThreadPoolExecutor(2) as pool:  # Pillow reads and writes without Python's lock
        return list(pool.map(lambda path: _thumbnail(path, each), paths))


def data_uri(image: Image.Image, most_bytes: int, *, quality: int = QUALITY) -> str:
    """Returns an RGB image as a WebP data URI, made smaller until it takes at most `most_bytes` before base64."""
    longest = math.sqrt(most_bytes / BYTES_PER_PIXEL * 4 / 3)  # of a photograph of 4 : 3
    sides = [side for side in SIDES if side <= longest] or [SIDES[-1]]
    for side in sides:
        small = image.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality)
        if buffer.tell() <= most_bytes:
            break
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _thumbnail(path: Path, most_bytes: int) -> str | None:
    try:
        with Image.open(path) as image:
            image.draft("RGB", (SIDES[0], SIDES[0]))  # a JPEG is read at a fraction of its size
            return data_uri(ImageOps.exif_transpose(image).convert("RGB"), most_bytes)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for files that are missing or damaged
        return None
