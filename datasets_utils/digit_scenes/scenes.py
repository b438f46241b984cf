"""Composes detection scenes of handwritten digits on photographs and writes them as a COCO or LVIS data set."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..register import CLASS_NAMES
from .glyphs import SPLITS, Glyph, draw_background, draw_glyph, mask_to_polygons
from .lvis_format import LvisFormat

SETTINGS_FILE = "settings.json"
# Raised whenever the same settings would give other scenes, so that data sets of an older version are not reused.
FORMAT_VERSION = 1

PLACEMENT_TRIES = 30
# Scenes that are not crowded may touch at the corners of boxes only; crowded ones overlap up to what a person can read.
PLAIN_MAX_IOU = 0.05
CROWDED_MAX_IOU = 0.5


@dataclass(frozen=True)
class DigitSceneSettings:
    """What the scenes look like; pairs are inclusive (lowest, highest).

    Attributes:
        num_train, num_val: scenes per split.
        image_size: pixels of either side, height and width drawn independently.
        num_digits: digits per scene. A scene may hold fewer when no free place is found, never fewer than one.
        digit_size: height of an upright digit, pixels.
        crowded_fraction: share of scenes whose digits are piled onto each other.
        min_visible: every digit keeps at least this share of its pixels visible.
        train_class_weights: how often each of the ten digits comes in training, in proportion; None: as often as it
            was scanned, which is about equally often. In validation all come equally often, rare ones too.
        lvis: makes the annotation files LVIS's; None: they are COCO's.
        seed: of all scenes; scene i of a split depends on the seed and i alone.

    Raises:
        ValueError: on values that give no scene.
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
            pair = tuple(int(v) for v in getattr(self, name))  # a config gives its own list type
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
        """Returns how many scenes `split` ("train" or "val") has."""
        return {"train": self.num_train, "val": self.num_val}[split]


@dataclass
class Scene:
    """One composed scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        crowded: whether the digits were piled onto each other.
        labels: the digits, 0 to 9, back to front.
        masks: per digit (H, W) bool, its visible pixels.
    """

    image: np.ndarray
    crowded: bool
    labels: list[int]
    masks: list[np.ndarray]


@dataclass
class _Canvas:
    """Digits placed so far. `owner` (H, W) holds the index of the digit seen at a pixel, -1 for background."""

    pixels: np.ndarray
    owner: np.ndarray
    max_iou: float
    min_visible: float
    glyphs: list[Glyph] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)

    def try_place(self, glyph: Glyph, top: int, left: int) -> bool:
        """Puts the glyph in front of all others unless that hides one of them; returns whether it did."""
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
    """Composes scene `index` of `split`; the same arguments give the same scene, however many scenes there are."""
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
        size = int(rng.integers(*settings.digit_size, endpoint=True))
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
    """Returns a random (top, left) inside the image; in crowded scenes, one beside an earlier digit's corner."""
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


def build_digit_scenes(root: str | os.PathLike, settings: DigitSceneSettings, *, overwrite: bool = False) -> bool:
    """Writes train and val scenes as a COCO tree under `root`, all of it or nothing.

    Args:
        root: folder to create; holds `train/`, `val/`, `annotations/instances_{train,val}.json`, `settings.json`.
        settings: what to build.
        overwrite: replace digit scenes built with other settings.

    Returns:
        False if `root` already holds scenes of these settings and nothing was done.

    Raises:
        ValueError: `root` holds something else, and is not digit scenes or `overwrite` is not set.
    """
    root = Path(root)
    wanted = {"format_version": FORMAT_VERSION, **asdict(settings)}
    if _is_built(root, wanted, overwrite):
        return False
    root.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its place and renamed, so that an interruption leaves no half data set under the final name.
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-partial-", dir=root.parent))
    try:
        new = partial / "new"
        (new / "annotations").mkdir(parents=True)
        contents = {split: _write_images(new, settings, split) for split in SPLITS}
        if settings.lvis is not None:
            settings.lvis.add(contents, seed=settings.seed)
        for split, content in contents.items():
            (new / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        (new / SETTINGS_FILE).write_text(json.dumps(wanted, indent=2) + "\n")
        if root.exists():
            os.rename(root, partial / "old")
        os.rename(new, root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_built(root: Path, wanted: dict[str, Any], overwrite: bool) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    marker = root / SETTINGS_FILE
    found = json.loads(marker.read_text()) if marker.is_file() else None
    if not isinstance(found, dict) or "format_version" not in found:
        raise ValueError(f"{root} exists and does not hold digit scenes; name another folder, or remove it")
    # Scenes that were built before a setting existed were built with its default.
    found = {**json.loads(json.dumps(asdict(DigitSceneSettings()))), **found}
    if found == json.loads(json.dumps(wanted)):
        return True
    if not overwrite:
        changed = {k: (found.get(k), v) for k, v in wanted.items() if found.get(k) != json.loads(json.dumps(v))}
        raise ValueError(
            f"{root} holds digit scenes of other settings (name: (there, wanted)): {changed}; "
            "pass --overwrite (overwrite=True) to replace them, or name another folder"
        )
    return False


def _write_images(root: Path, settings: DigitSceneSettings, split: str) -> dict[str, Any]:
    """Writes the scenes of a split and returns the content of its annotation file."""
    (root / split).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in tqdm(range(settings.num_scenes(split)), desc=f"digit scenes, {split}", unit="scene", mininterval=1):
        scene = compose_scene(settings, split, index)
        height, width = scene.image.shape[:2]
        image = {"id": index + 1, "file_name": f"{index + 1:06d}.jpg", "height": height, "width": width}
        images.append({**image, "crowded": scene.crowded})
        Image.fromarray(scene.image).save(root / split / image["file_name"], quality=95)
        for label, mask in zip(scene.labels, scene.masks, strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **_annotation(label, mask)})
    return {
        "info": {"description": "Handwritten digits on photographs; boxes and masks of the visible pixels"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name, "supercategory": "digit"} for i, name in enumerate(CLASS_NAMES)],
    }


def _annotation(label: int, mask: np.ndarray) -> dict[str, Any]:
    """Returns COCO's fields of one digit; as in COCO itself, box and area are those of the visible pixels."""
    rows, cols = np.nonzero(mask)
    x, y = int(cols.min()), int(rows.min())
    return {
        "category_id": label + 1,
        "bbox": [x, y, int(cols.max()) + 1 - x, int(rows.max()) + 1 - y],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": mask_to_polygons(mask),
    }
