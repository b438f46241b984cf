"""What a data set is like: classes, crowding, sizes of images and objects. A training is planned by it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

FEW_OBJECTS = 20  # below so many, a class can hardly be learned

MOST_NAMED = 8  # classes in a warning


@dataclass(frozen=True)
class DataFacts:
    """What one part of a data set is like. Crowd boxes and boxes without area do not count.

    Attributes:
        num_images: number of images.
        objects_of_class: class name -> number of objects, in the order of the category ids.
        most_objects: the most objects in one image.
        short_edge: the median of the images' shorter sides, in pixels.
        aspect: the largest ratio of a longer to a shorter side.
        object_size: the quarter of the objects whose sqrt(w · h) is smallest are below this, in pixels.
        has_masks: whether every object has a mask.
    """

    num_images: int
    objects_of_class: dict[str, int]
    most_objects: int
    short_edge: float
    aspect: float
    object_size: float
    has_masks: bool

    @property
    def num_objects(self) -> int:
        """The number of objects."""
        return sum(self.objects_of_class.values())

    def warnings(self) -> list[str]:
        """What in the data makes training hard."""
        few = [f"{name} ({n})" for name, n in self.objects_of_class.items() if n < FEW_OBJECTS]
        shown = ", ".join(few[:MOST_NAMED]) + (f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else "")
        lines = [f"{len(few)} classes have few objects to learn from: {shown}"] if few else []
        counts = [n for n in self.objects_of_class.values() if n]
        if counts and max(counts) > 50 * min(counts):
            lines.append(
                f"the most frequent class has {max(counts) // min(counts)} times as many objects as the rarest; "
                "repeat-factor sampling may help (docs/datasets.md)"
            )
        return lines


def look_at(content: dict[str, Any]) -> DataFacts:
    """Look at the content of a file in COCO's format.

    Raises:
        ValueError: there are no images, or none has a size.
    """
    sizes = [(i["width"], i["height"]) for i in content["images"] if i.get("width") and i.get("height")]
    if not sizes:
        raise ValueError(f"of {len(content['images'])} images none has a width and a height")
    objects = [a for a in content["annotations"] if _is_object(a)]
    names = {c["id"]: str(c["name"]) for c in sorted(content["categories"], key=lambda c: c["id"])}
    counts = Counter(a["category_id"] for a in objects)
    short, long = np.sort(np.array(sizes, dtype=float), axis=1).T
    edges = [(a["bbox"][2] * a["bbox"][3]) ** 0.5 for a in objects]
    return DataFacts(
        num_images=len(content["images"]),
        objects_of_class={name: counts[id_] for id_, name in names.items()},
        most_objects=max(Counter(a["image_id"] for a in objects).values(), default=0),
        short_edge=float(np.median(short)),
        aspect=float((long / short).max()),
        object_size=float(np.quantile(edges, 0.25)) if edges else 0.0,
        has_masks=bool(objects) and all(a.get("segmentation") for a in objects),
    )


def _is_object(annotation: dict[str, Any]) -> bool:
    box = annotation.get("bbox") or ()
    return len(box) == 4 and min(box[2:]) > 0 and not annotation.get("iscrowd", 0)
