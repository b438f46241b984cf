"""A registry of which options explain which function or class."""

from collections.abc import Callable
from typing import TypeVar

from .base import Options

T = TypeVar("T", bound=type[Options])

EXPLAINED: dict[str, type[Options]] = {}


def explains(target: str) -> Callable[[T], T]:
    """Declare that the decorated class has the arguments of `target`, the dotted name of a function or a class.

    A class for this project's code lists all arguments. A class for other packages lists those that matter to a
    detector; the rest may be set as well.
    """

    def register(options: T) -> T:
        EXPLAINED[target] = options
        return options

    return register
