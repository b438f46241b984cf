"""Kinds of values that many options share."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from .base import is_call


class PartMarker:
    """Marks the fields that hold an object."""


def _require_part(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | list | Mapping) and not is_call(value):
        raise ValueError("an object belongs here: L(SomeClass)(...), or in YAML _target_: path.of.SomeClass")
    return value


Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[list[str], Field(min_length=1)]
Part = Annotated[Any, AfterValidator(_require_part), PartMarker()]


def divides(part: Any, whole: Any) -> bool:
    """Whether `part` divides `whole`; true where one of them is not known yet."""
    return isinstance(part, Mapping) or isinstance(whole, Mapping) or whole % part == 0
