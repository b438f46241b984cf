"""Which rows of a checkpoint's class heads a model takes that has other classes, or the same in another order."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

# The tensors that have a row for each class, under the names of detrex, DiffuDETR and DiffusionInst.
_CLASS_TENSOR = re.compile(
    r"(?:^|\.)(?:class_embed\.\d+\.(?:weight|bias)|class_logits\.(?:weight|bias)|label_enc\.weight)$"
)
_MOST_NAMES = 10  # that a report lists


@dataclass(frozen=True)
class ClassRows:
    """Which row of a checkpoint's class heads belongs to each class of a model.

    Attributes:
        names: the model's K classes; their numbers where the names are not known.
        sources: (K,), the number of the class in the checkpoint; None for a new class, which keeps the model's own.
        num_given: the number of the checkpoint's classes; None: it is not known, and no row is taken.
    """

    names: tuple[str, ...]
    sources: tuple[int | None, ...]
    num_given: int | None

    @classmethod
    def by_name(cls, names: Sequence[str], given: Sequence[str]) -> "ClassRows":
        """Rows of classes of equal names belong together. A name that comes twice is told apart by its order.

        Args:
            names, given: the classes of the model and of the checkpoint, in the order of their rows.
        """
        numbers = {key: number for number, key in enumerate(_counted(given))}
        return cls(tuple(names), tuple(numbers.get(key) for key in _counted(names)), len(given))

    @classmethod
    def anew(cls, names: Sequence[str]) -> "ClassRows":
        """No row is taken: all classes are new."""
        return cls(tuple(names), (None,) * len(names), None)

    def fitted(self, name: str, given: Tensor, own: Tensor) -> Tensor:
        """A checkpoint's tensor with the rows of the model's classes.

        Rows behind those of the classes, such as the label embedding's for filler boxes, keep their places.

        Args:
            name: what the tensor is called, for the error.
            given, own: the tensor in the checkpoint (K', ...) and in the model (K, ...).

        Raises:
            ValueError: the checkpoint names another number of classes than the tensor has rows.
        """
        if given.shape[1:] != own.shape[1:]:
            return given  # the check of shapes says what is wrong
        fitted = own.detach().clone()
        if self.num_given is None:
            return fitted
        if len(given) not in (self.num_given, self.num_given + 1):
            raise ValueError(f"{name} has {len(given)} rows; the checkpoint names {self.num_given} classes")
        for row, source in enumerate(self.sources):
            if source is not None:
                fitted[row] = given[source]
        further = min(len(own) - len(self.sources), len(given) - self.num_given)
        fitted[len(self.sources) :][:further] = given[self.num_given :][:further]
        return fitted

    def __str__(self) -> str:
        kept = [name for name, source in zip(self.names, self.sources, strict=True) if source is not None]
        new = [name for name, source in zip(self.names, self.sources, strict=True) if source is None]
        return f"class rows kept {_listed(kept)}, new {_listed(new)}"


def is_class_tensor(name: str) -> bool:
    """Whether the tensor of this name in a model has a row for each class."""
    return _CLASS_TENSOR.search(name) is not None


def by_position(given: Tensor, own: Tensor) -> Tensor:
    """A head's tensor whose rows mean no classes, with as many rows as the model's: the first ones are the given.

    Args:
        given, own: in the checkpoint (K', ...) and in the model (K, ...).
    """
    if given.shape[1:] != own.shape[1:]:
        return given
    fitted, rows = own.detach().clone(), min(len(given), len(own))
    fitted[:rows] = given[:rows]
    return fitted


def _counted(names: Iterable[str]) -> list[tuple[str, int]]:
    """Each name with the number of times that it came before."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def _listed(names: Collection[str]) -> str:
    if not names:
        return "0"
    shown = list(names)[:_MOST_NAMES]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return f"{len(names)} ({', '.join(shown + more)})"
