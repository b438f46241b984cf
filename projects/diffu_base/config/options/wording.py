"""Types and values of options in words, for the printed reference."""

import sys
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic.fields import FieldInfo

from .base import Options, is_call
from .catalog import name_of
from .kinds import PartMarker

_WORDS: dict[Any, str] = {bool: "true or false", int: "integer", float: "number", str: "text", Any: "object"}
_PLURALS = {"integer": "integers", "number": "numbers", "text": "texts", "object": "objects"}


def kind(field: FieldInfo) -> str:
    """The type of an option in words, such as "integer ≥ 1" or "object or null"."""
    return _kind(field.annotation, field.metadata)


def shown(value: Any) -> str:
    """A value as YAML writes it. A LazyCall becomes the name of what it calls, an object the name of its class."""
    if is_call(value):
        return short_name(name_of(value["_target_"]))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, int | float):
        return "no limit" if value == sys.maxsize else repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence) and not hasattr(value, "_fields"):
        return "[" + ", ".join(map(shown, value)) + "]"
    return getattr(value, "__name__", None) or repr(value)


def short_name(name: str) -> str:
    """A dotted name without its modules, whose names are in lower case: `ResNet.make_stage`, `cosine_betas`."""
    parts = name.split(".")
    first = next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return ".".join(parts[first:])


def _kind(annotation: Any, metadata: Sequence[Any]) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], [each for item in inner[1:] for each in getattr(item, "metadata", [item])])
    if origin in (Union, UnionType):
        words = [_kind(each, metadata) for each in inner if each is not NoneType]
        return " or ".join([*words, *(["null"] if NoneType in inner else [])])
    if origin is Literal:
        return f"one of {', '.join(map(shown, inner))}"
    if origin is list:
        return _list(_kind(inner[0], []), metadata)
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return "section"
    if any(isinstance(each, PartMarker) for each in metadata):
        return "object"
    return f"{_WORDS[annotation]}{_bounds(metadata)}"


def _list(of: str, metadata: Sequence[Any]) -> str:
    noun, _, bounds = of.partition(" ")
    number = next((f"{each.max_length} " for each in metadata if isinstance(each, MaxLen)), "")
    some = any(isinstance(each, MinLen) for each in metadata) and not number
    return f"{'non-empty ' * some}list of {number}{_PLURALS.get(noun, noun)}{' ' * bool(bounds)}{bounds}"


def _bounds(metadata: Sequence[Any]) -> str:
    lows = [
        ("[", each.ge, "≥") if isinstance(each, Ge) else ("(", each.gt, ">")
        for each in metadata
        if isinstance(each, Ge | Gt)
    ]
    highs = [
        ("]", each.le, "≤") if isinstance(each, Le) else (")", each.lt, "<")
        for each in metadata
        if isinstance(each, Le | Lt)
    ]
    multiple = next((f", multiple of {each.multiple_of}" for each in metadata if isinstance(each, MultipleOf)), "")
    if lows and highs:
        return f" in {lows[-1][0]}{lows[-1][1]}, {highs[-1][1]}{highs[-1][0]}{multiple}"
    return "".join(f" {sign} {bound}" for _, bound, sign in [*lows[-1:], *highs[-1:]]) + multiple
