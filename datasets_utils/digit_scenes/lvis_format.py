"""The fields that LVIS's annotation files have beyond COCO's.

A category says how rare it is. An image says which categories it surely lacks, and of which categories it may have
more objects than are annotated.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LvisFormat:
    """Adds LVIS's fields to the content of annotation files in COCO's format.

    Attributes:
        rare: a class in at most this many training images is rare. The default is LVIS's own number.
        common: a class in more than `rare` and at most this many training images is common, and any other frequent.
            The default is LVIS's own number.
        absent_share: of the classes that an image does not show, the share that its entry lists as surely absent. Only
            detections of these classes count as false; the evaluator ignores detections of the rest.
        open_share: of the classes that an image shows, the share that its entry lists as not annotated completely. The
            evaluator ignores detections of these classes that match no object.

    Raises:
        ValueError: a share is outside [0, 1], or `rare` is negative or greater than `common`.
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
        """Adds LVIS's fields to the content of each split's annotation file, in place.

        Categories get `image_count`, `instance_count` and `frequency`, which count the training images as in LVIS.
        Images get `neg_category_ids` and `not_exhaustive_category_ids`.

        Args:
            contents: the content of each annotation file by split; one split is "train".
            seed: determines which classes the images list.
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
        """Returns "r", "c" or "f" for a class that is rare, common or frequent by its number of training images."""
        return "r" if image_count <= self.rare else "c" if image_count <= self.common else "f"
