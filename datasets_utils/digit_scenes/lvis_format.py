"""What LVIS's annotation files say beyond COCO's: how rare a class is, and what is annotated in an image."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LvisFormat:
    """Turns COCO's content of annotation files into LVIS's.

    Attributes:
        rare, common: most training images of a rare and of a common class; LVIS's own numbers are the defaults.
        absent_share: share of the classes that an image does not hold of which it is known that it does not. In LVIS
            too, detections of the others do not count as false.
        open_share: share of the classes of an image of which more objects may be there than are annotated. Detections
            of these, where they match none, do not count as false either.

    Raises:
        ValueError: on shares outside [0, 1], or rare above common.
    """

    rare: int = 10
    common: int = 100
    absent_share: float = 0.5
    open_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.rare <= self.common:
            raise ValueError(f"rare is {self.rare} and common {self.common}; they must be 0 or more, in this order")
        for name in ("absent_share", "open_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be between 0 and 1")

    def add(self, contents: dict[str, dict[str, Any]], *, seed: int) -> None:
        """Adds LVIS's fields in place to the contents of "train" and the other splits.

        Categories receive `image_count`, `instance_count` and `frequency`, all counted in the training images as LVIS
        does; images receive `neg_category_ids` and `not_exhaustive_category_ids`, drawn from the seed.
        """
        pairs = [(a["category_id"], a["image_id"]) for a in contents["train"]["annotations"]]
        instances, images = Counter(c for c, _ in pairs), Counter(c for c, _ in set(pairs))
        for number, content in enumerate(contents.values()):
            for category in content["categories"]:
                counts = {"image_count": images[category["id"]], "instance_count": instances[category["id"]]}
                names = {"synset": f"{category['name']}.n.01", "synonyms": [category["name"]], "def": ""}
                category.update(**names, **counts, frequency=self.frequency(counts["image_count"]))
            rng = np.random.default_rng([seed, number])
            ids = [category["id"] for category in content["categories"]]
            held = {(a["image_id"], a["category_id"]) for a in content["annotations"]}
            for image in content["images"]:
                draws = rng.random(len(ids))
                known = [(id_, draw, (image["id"], id_) in held) for id_, draw in zip(ids, draws, strict=True)]
                absent = [id_ for id_, draw, is_held in known if not is_held and draw < self.absent_share]
                open_ = [id_ for id_, draw, is_held in known if is_held and draw < self.open_share]
                image.update(neg_category_ids=absent, not_exhaustive_category_ids=open_)

    def frequency(self, image_count: int) -> str:
        """Returns LVIS's letter for a class in so many training images: "r", "c" or "f"."""
        return "r" if image_count <= self.rare else "c" if image_count <= self.common else "f"
