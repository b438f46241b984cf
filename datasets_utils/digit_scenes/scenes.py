"""Composes scenes of handwritten digits on photographs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..register import CLASS_NAMES
from .glyphs import SPLITS, Glyph, draw_background, draw_glyph
from .lvis_format import LvisFormat

PLACEMENT_TRIES = 30  # after so many failed places, a digit is left out
# The highest IoU of two digits' boxes. In plain scenes, boxes may overlap at their corners. In crowded scenes, digits
# cover each other as far as a person can still read them.
PLAIN_MAX_IOU = 0.05
CROWDED_MAX_IOU = 0.5


@dataclass(frozen=True)
class DigitSceneSettings:
    """How many scenes there are and what they look like.

    A pair is (lowest, highest), and both are possible values.

    Attributes:
        num_train, num_val: the number of scenes in each split.
        image_size: the range of an image's height and width in pixels, which are drawn independently.
        num_digits: the range of the number of digits in a scene. A scene has fewer digits if no place is found for
            them, but always one.
        digit_size: the range of the height of an upright digit in pixels.
        crowded_fraction: the share of scenes whose digits are piled onto each other.
        min_visible: the share of its pixels that every digit keeps visible, at least.
        train_class_weights: (10,) the relative frequency of each digit in the training scenes. None is the frequency
            among the scans, which is about the same for all digits. Validation scenes always have that frequency.
        lvis: adds LVIS's fields to the annotation files. None leaves them in COCO's format.
        seed: scene i of a split depends on the seed and i alone, and not on the number of scenes.

    Raises:
        ValueError: no scene can be made with a value.
    """

    num_train: int = 1000
    num_val: int = 100
    image_size: Sequence[int] = (136, 168)
    num_digits: Sequence[int] = (2, 12)
    digit_size: Sequence[int] = (28, 52)
    crowded_fraction: float = 0.25
    min_visible: float = 0.6
    train_class_weights: Sequence[float] | None = None
    lvis: LvisFormat | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest_allowed in (("image_size", 32), ("num_digits", 1), ("digit_size", 8)):
            pair = tuple(int(v) for v in getattr(self, name))  # A config gives a ListConfig.
            if len(pair) != 2 or not lowest_allowed <= pair[0] <= pair[1]:
                raise ValueError(f"{name} is {pair}; it must be (lowest, highest), lowest >= {lowest_allowed}")
            object.__setattr__(self, name, pair)
        if self.digit_size[1] > self.image_size[0] // 2:
            raise ValueError(
                f"digit_size is {self.digit_size}; digits may be at most half of the smallest image side, "
                f"{self.image_size[0]}"
            )
        for name in ("crowded_fraction", "min_visible"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be between 0 and 1")
        if self.train_class_weights is not None:
            weights = tuple(float(v) for v in self.train_class_weights)
            if len(weights) != len(CLASS_NAMES) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
                raise ValueError(
                    f"train_class_weights is {weights}; it must be {len(CLASS_NAMES)} numbers of 0 or more"
                )
            object.__setattr__(self, "train_class_weights", weights)
        for name in ("num_train", "num_val", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    def num_scenes(self, split: str) -> int:
        """Returns the number of scenes in a split, "train" or "val"."""
        return {"train": self.num_train, "val": self.num_val}[split]


@dataclass
class Scene:
    """A composed scene.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        crowded: whether the digits are piled onto each other.
        labels: the digits, 0 to 9, from back to front.
        masks: the visible pixels of each digit, (H, W) bool.
    """

    image: np.ndarray
    crowded: bool
    labels: list[int]
    masks: list[np.ndarray]


@dataclass
class _Canvas:
    """A scene in the making.

    Attributes:
        pixels: (H, W, 3) float, RGB in 0..255.
        owner: (H, W) the index of the digit that is visible at a pixel, -1 for the background.
        max_iou: the highest IoU of two digits' boxes.
        min_visible: the share of its pixels that every digit keeps visible, at least.
        glyphs: the digits that have a place, from back to front.
        boxes: their boxes (left, top, right, bottom).
    """

    pixels: np.ndarray
    owner: np.ndarray
    max_iou: float
    min_visible: float
    glyphs: list[Glyph] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)

    def try_place(self, glyph: Glyph, top: int, left: int) -> bool:
        """Puts a digit in front of all others, unless that would hide too much of one of them.

        Returns:
            whether the digit was put there.
        """
        h, w = glyph.mask.shape
        box = (left, top, left + w, top + h)
        if any(_iou(box, other) > self.max_iou for other in self.boxes):
            return False
        owner = self.owner.copy()
        owner[top : top + h, left : left + w][glyph.mask] = len(self.glyphs)
        visible = np.bincount(owner.ravel() + 1, minlength=len(self.glyphs) + 2)[1:-1]
        if any(v < self.min_visible * g.mask.sum() for v, g in zip(visible, self.glyphs, strict=True)):
            return False
        self.owner = owner
        self.glyphs.append(glyph)
        self.boxes.append(box)
        alpha = glyph.alpha[..., None]
        region = self.pixels[top : top + h, left : left + w]
        region[...] = alpha * glyph.color + (1 - alpha) * region
        return True


def compose_scene(settings: DigitSceneSettings, split: str, index: int) -> Scene:
    """Composes scene number `index` of a split. The same arguments always give the same scene."""
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), index])
    height, width = rng.integers(settings.image_size[0], settings.image_size[1], size=2, endpoint=True)
    crowded = bool(rng.random() < settings.crowded_fraction)
    canvas = _Canvas(
        pixels=draw_background(split, (int(height), int(width)), rng),
        owner=np.full((height, width), -1),
        max_iou=CROWDED_MAX_IOU if crowded else PLAIN_MAX_IOU,
        min_visible=settings.min_visible,
    )
    weights = settings.train_class_weights if split == "train" else None
    fewest, most = settings.num_digits
    num_digits = int(rng.integers((fewest + most + 1) // 2 if crowded else fewest, most, endpoint=True))
    for _ in range(num_digits):
        size = int(rng.integers(settings.digit_size[0], settings.digit_size[1], endpoint=True))
        glyph = draw_glyph(split, size, rng, class_weights=weights)
        for _ in range(PLACEMENT_TRIES):
            if canvas.try_place(glyph, *_propose_corner(canvas, glyph, crowded, rng)):
                break
    return Scene(
        image=canvas.pixels.round().astype(np.uint8),
        crowded=crowded,
        labels=[glyph.label for glyph in canvas.glyphs],
        masks=[canvas.owner == i for i in range(len(canvas.glyphs))],
    )


def _propose_corner(canvas: _Canvas, glyph: Glyph, crowded: bool, rng: np.random.Generator) -> tuple[int, int]:
    """Returns a random place for a digit, (top, left), at which all of it is inside the image.

    In a crowded scene three of four places are near the corner of an earlier digit.
    """
    highest = np.array(canvas.owner.shape) - glyph.mask.shape
    if not crowded or not canvas.boxes or rng.random() < 0.25:
        corner = rng.integers(0, highest, endpoint=True)
    else:
        left, top, right, bottom = canvas.boxes[rng.integers(len(canvas.boxes))]
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.9)
        shift = distance * np.array([np.sin(angle) * (bottom - top), np.cos(angle) * (right - left)])
        corner = np.clip(np.array([top, left]) + shift.round(), 0, highest)
    return int(corner[0]), int(corner[1])


def _iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area_a + area_b - w * h)
