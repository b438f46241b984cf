"""Draws the parts of digit scenes: digits from scikit-learn's scans, backgrounds from its photographs."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import contourpy
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

SPLITS = ("train", "val")
VAL_SCAN_FRACTION = 0.2
PHOTO_TRAIN_FRACTION = 0.65

# This seed alone decides which scans belong to which split. So the training scenes of one seed share no scan with the
# validation scenes of another.
SCAN_SPLIT_SEED = 20

# An enlarged scan has ink from 0 to 1. Pixels above FILL_INK are the stroke, and the weaker ink around it, above
# OUTLINE_INK, becomes the outline. Within INK_SOFTNESS of a threshold one changes smoothly into the other.
FILL_INK = 0.55
OUTLINE_INK = 0.25
INK_SOFTNESS = 0.08


@dataclass(frozen=True)
class Glyph:
    """A drawn digit.

    Attributes:
        label: the digit, 0 to 9.
        color: (h, w, 3) float, RGB in 0..255.
        alpha: (h, w) float, opacity in 0..1.
        mask: (h, w) bool, True on the digit and its outline. The digit touches all four sides of the array.
    """

    label: int
    color: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray


@cache
def scan_indices(split: str) -> np.ndarray:
    """Returns the indices (n,) of those of scikit-learn's digits that a split uses. The splits share no digit."""
    order = np.random.default_rng(SCAN_SPLIT_SEED).permutation(len(_scans()[0]))
    num_val = round(VAL_SCAN_FRACTION * len(order))
    return np.sort(order[:num_val] if split == "val" else order[num_val:])


@cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """Returns all scans (n, 8, 8), with ink in 0..1, and their labels (n,)."""
    digits = load_digits()
    return (digits.images / 16.0).astype(np.float32), digits.target.astype(int)


@cache
def photographs(split: str) -> tuple[Image.Image, ...]:
    """Returns the part of each photograph that a split uses: the left for training, the right for validation."""
    parts = []
    for photo in load_sample_images().images:
        cut = round(PHOTO_TRAIN_FRACTION * photo.shape[1])
        parts.append(Image.fromarray(photo[:, cut:] if split == "val" else photo[:, :cut]))
    return tuple(parts)


def draw_background(split: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Returns a random crop of a photograph, (H, W, 3) float, RGB in 0..255.

    The crop's scale, contrast and brightness are random too, and half of the crops are mirrored.

    Args:
        split: "train" or "val".
        size: (H, W) in pixels.
        rng: the scene's generator.
    """
    height, width = size
    photos = photographs(split)
    photo = photos[rng.integers(len(photos))]
    longest_scale = min(photo.height / height, photo.width / width)
    scale = rng.uniform(min(0.6, longest_scale), min(2.0, longest_scale))
    crop_h, crop_w = height * scale, width * scale
    top, left = rng.uniform(0, photo.height - crop_h), rng.uniform(0, photo.width - crop_w)
    crop = photo.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + crop_w, top + crop_h))
    pixels = np.asarray(crop, dtype=np.float32)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    contrast, brightness = rng.uniform(0.6, 1.0), rng.uniform(0.7, 1.15)
    mean = pixels.mean()
    return np.clip(((pixels - mean) * contrast + mean) * brightness, 0, 255)


def draw_glyph(
    split: str, height: int, rng: np.random.Generator, *, class_weights: Sequence[float] | None = None
) -> Glyph:
    """Draws a random scan: smoothly enlarged, slightly turned, and coloured.

    Args:
        split: "train" or "val".
        height: the height of the drawn digit in pixels.
        rng: the scene's generator.
        class_weights: (10,) the relative frequency of each digit. None is the frequency among the scans.
    """
    scans, labels = _scans()
    candidates = scan_indices(split)
    if class_weights is not None:
        digit = rng.choice(len(class_weights), p=np.divide(class_weights, np.sum(class_weights)))
        candidates = candidates[labels[candidates] == digit]
    index = rng.choice(candidates)
    ink = _upsample(scans[index], height, aspect=rng.uniform(0.85, 1.15), degrees=rng.uniform(-12, 12))
    fill = _smoothstep(ink, FILL_INK)
    alpha = _smoothstep(ink, OUTLINE_INK)
    fill_color, outline_color = _light_and_dark(rng)
    color = fill[..., None] * fill_color + (1 - fill[..., None]) * outline_color
    return Glyph(int(labels[index]), color, alpha * rng.uniform(0.9, 1.0), alpha > 0.5)


def _upsample(scan: np.ndarray, height: int, *, aspect: float, degrees: float) -> np.ndarray:
    """Returns an enlarged and turned scan, cropped to the digit's outline: (height, w) ink in 0..1.

    Args:
        scan: (8, 8) ink in 0..1.
        height: the height of the result in pixels.
        aspect: the factor by which the digit gets wider.
        degrees: the angle by which the digit is turned.
    """
    # Ink may touch the scan's border. The margin leaves room for the outline around it.
    ink = Image.fromarray(np.pad(scan, 2))
    scale = 6
    ink = ink.resize((round(12 * scale * aspect), 12 * scale), Image.Resampling.BICUBIC)
    ink = ink.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    rows, cols = np.nonzero(np.asarray(ink) > OUTLINE_INK)
    box = (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    width = max(round(height * (box[2] - box[0]) / (box[3] - box[1])), 3)
    tight = np.asarray(ink.resize((width, height), Image.Resampling.BICUBIC, box))
    rows, cols = np.nonzero(_smoothstep(tight, OUTLINE_INK) > 0.5)
    return tight[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]


def _smoothstep(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Returns 0 below the threshold and 1 above it, and values in between within INK_SOFTNESS of it."""
    x = np.clip((ink - threshold + INK_SOFTNESS) / (2 * INK_SOFTNESS), 0, 1)
    return x * x * (3 - 2 * x)


def _light_and_dark(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a light and a dark colour (3,), RGB in 0..255, each of a random hue."""
    light = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.55), rng.uniform(0.85, 1.0))
    dark = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 1.0), rng.uniform(0.05, 0.35))
    return np.array(light, np.float32) * 255, np.array(dark, np.float32) * 255


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Traces a mask as polygons in COCO's format.

    A polygon of COCO has no holes. So the polygon of a part with a hole runs around the outside, goes over to the hole,
    runs around it and comes back the same way; the way over encloses nothing. Polygons run half-way between the pixels
    inside the mask and those outside.

    Args:
        mask: (H, W) bool.

    Returns:
        a list [x0, y0, x1, y1, ...] for each connected part, in pixels from the image's upper left corner.
    """
    rows, cols = np.nonzero(mask)
    top, left = rows.min(), cols.min()
    # A part that touches the border of the crop has a closed outline only with this margin of one pixel.
    tight = np.pad(mask[top : rows.max() + 1, left : cols.max() + 1], 1)
    generator = contourpy.contour_generator(z=tight.astype(np.float32), fill_type=contourpy.FillType.OuterOffset)
    # COCO puts a pixel's centre at its index + 0.5, and the margin has added 1 to the index.
    origin = np.array([left, top]) - 0.5
    polygons = []
    for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
        rings = [points[start:end] for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
        path = rings[0]
        for hole in rings[1:]:
            path = np.concatenate([path, hole, rings[0][:1]])
        polygons.append(np.round(path + origin, 1).reshape(-1).tolist())
    return polygons
