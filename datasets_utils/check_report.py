"""The report of a check: the kinds of faults and notes there are, and how often the check found each."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

# The kinds of faults, and what happens to a faulty entry if faults are left out. Training refuses data with faults
# unless it is told to leave them out.
FAULTS = {
    "malformed category": "category dropped",
    "repeated category id": "later category dropped",
    "malformed image entry": "image dropped",
    "repeated image id": "image dropped",
    "missing image": "image dropped",
    "unreadable image": "image dropped",
    "image of another size": "image dropped",
    "malformed annotation": "box dropped",
    "unknown image": "box dropped",
    "unknown category": "box dropped",
    "degenerate box": "box dropped",
    "box outside the image": "box dropped",
}
NO_ID = "annotation without an id of its own"
NO_AREA = "annotation without area or iscrowd"
# The kinds of notes, and how training and evaluation handle each. A note is worth knowing, but no fault.
NOTES = {
    "box reaching beyond the image": "cut off at the border for training",
    "box smaller than a pixel": "kept; are the coordinates in pixels?",
    "crowd box": "left out of training; in evaluation detections on it do not count",
    "image without boxes": "left out of training, kept in evaluation",
    "category without boxes": "kept as a class",
    "category ids with gaps": "classes are numbered in the order of the ids",
    NO_ID: "all are numbered anew",
    NO_AREA: "filled in: the box's area, 0",
}
EXAMPLES = 3  # the number of examples that are shown of each kind


@dataclass
class Report:
    """What the check found in one annotation file and its images.

    Attributes:
        json_file: the annotation file.
        image_root: the folder of images.
        sizes: the number of entries in each list of the annotation file, by the list's name.
        counts: how often the check found each kind of FAULTS and NOTES.
        examples: descriptions of the first findings of each kind.
        dropped: the positions of the faulty entries in each list of the annotation file, by the list's name.
    """

    json_file: str
    image_root: str
    sizes: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    dropped: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def num_faults(self) -> int:
        """How many faults the check found; notes do not count."""
        return sum(self.counts[kind] for kind in FAULTS)

    @property
    def needs_mending(self) -> bool:
        """Whether there are faults, or annotations that lack a field that evaluators read."""
        return any(self.counts[kind] for kind in (*FAULTS, NO_ID, NO_AREA))

    def add(self, kind: str, example: str, *, drop: tuple[str, int] | None = None) -> None:
        """Adds one finding.

        Args:
            kind: one of FAULTS or NOTES.
            example: which entry it is and what is wrong with it.
            drop: the entry to leave out, as the name of its list and its position there. Notes have none.
        """
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(example)
        if drop is not None:
            self.dropped[drop[0]].add(drop[1])

    def __str__(self) -> str:
        sizes = ", ".join(f"{number} {name}" for name, number in self.sizes.items())
        lines = [f"{self.json_file}, images in {self.image_root}: {sizes}; {self.num_faults} faults"]
        for title, kinds in (("faults (what dropping does)", FAULTS), ("no faults (how it is handled)", NOTES)):
            found = [kind for kind in kinds if self.counts[kind]]
            lines += [f"  {title}:"] if found else []
            for kind in found:
                lines.append(f"    {self.counts[kind]} x {kind} ({kinds[kind]}), such as")
                lines += [f"        {example}" for example in self.examples[kind]]
        return "\n".join(lines)
