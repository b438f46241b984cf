"""Reads `key=value` settings and sets them in a config.

What a key takes decides how its value is read. Where a config's option takes text alone, as every path does, all
characters of the value are that text. Other values are numbers, lists and the like, in Hydra's grammar.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic.fields import FieldInfo

from .options.base import Options, is_call
from .options.catalog import options_of
from .options.run import RunOptions

# A text that is quoted as a whole: quotation marks inside of it stand behind a backslash.
_QUOTED = re.compile(r"""(['"])(?:(?!\1)[^\\]|\\.)*\1""", re.DOTALL)


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Set every `key=value` of `overrides` in `cfg`, in place, and return `cfg`.

    ``+key=value`` adds a key. Arguments of a LazyCall can always be added: a wrong one fails when it is called.

    Raises:
        ValueError: an override is not of this form, its value cannot be read, or its key does not exist, which would
            change nothing; the message names the keys that come close.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"override {override!r} is not of the form key=value")
        name = key.lstrip("+")
        if name == key:
            _check_key(cfg, key)
        above = name.rpartition(".")[0]
        if above and not isinstance(inner := _present(cfg, above), DictConfig | ListConfig | NoneType):
            raise ValueError(f"override {override!r} cannot be set: {above} is {inner!r} and has no keys")
        value = _Reader(cfg, name, override).value(text)
        try:
            OmegaConf.update(cfg, name, value, merge=True)
        except OmegaConfBaseException as error:
            raise ValueError(f"override {override!r} cannot be set: {_first_line(error)}") from error
    return cfg


def quoted(text: str) -> str:
    """`text` as the value of an override, whatever characters it has and whatever its key takes."""
    # In Hydra's grammar a backslash only counts before a quotation mark.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), text)
    return f"'{escaped}'"


class _Reader:
    """Reads the value of one override.

    Args:
        cfg: the config.
        key: where the value is set.
        override: the whole override, for messages.
    """

    def __init__(self, cfg: DictConfig, key: str, override: str) -> None:
        self.key = key
        self.override = override
        self.kinds = _kinds_at(cfg, key)

    def value(self, text: str) -> Any:
        """The value that `text` stands for."""
        if self.kinds <= {str, NoneType} and str in self.kinds:
            return self._text(text)
        try:
            value = self._in_grammar(text)
        except HydraException as error:
            if str in self.kinds:
                return self._text(text)
            raise ValueError(
                f"override {self.override!r} cannot be read ({_first_line(error)}); quotes make any value a text: "
                f"{self.key}='...'"
            ) from error
        return self._text(text) if isinstance(value, str) and str in self.kinds else value

    def _text(self, text: str) -> str | None:
        if text == "null" and NoneType in self.kinds:
            return None
        if _QUOTED.fullmatch(text):
            return str(self._in_grammar(text))
        return os.path.expanduser(text)

    def _in_grammar(self, text: str) -> Any:
        override = OverridesParser.create().parse_override(f"key={text}")
        if override.is_sweep_override():
            raise HydraException("several values, of which there can be one")
        return override.value()


def _kinds_at(cfg: DictConfig, key: str) -> set[Any]:
    """The types that `key` takes. Where no option explains it, a text may be replaced by anything."""
    field = _field_at(cfg, key)
    return _kinds(field.annotation) if field is not None else {Any, type(_present(cfg, key))}


def _field_at(cfg: DictConfig, key: str) -> FieldInfo | None:
    """The option that explains `key`, or None if none does."""
    options: type[Options] | None = RunOptions
    node: Any = cfg
    *outer, last = key.split(".")
    for part in outer:
        node = _inside(node, part)
        if is_call(node):
            options = _options_of_call(node)
        elif isinstance(node, Mapping) and options is not None:
            options = options.part(part)
        elif not isinstance(node, ListConfig):
            return None
    return options.model_fields.get(last) if options is not None else None


def _options_of_call(call: Mapping[str, Any]) -> type[Options] | None:
    try:
        return options_of(call["_target_"])
    except ValueError:  # the config's check reports it
        return None


def _present(cfg: DictConfig, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = _inside(node, part)
    return node


def _inside(node: Any, part: str) -> Any:
    """What `node` holds under `part`, or None."""
    if isinstance(node, ListConfig):
        return node[int(part)] if part.isdigit() and int(part) < len(node) else None
    try:
        return node.get(part) if isinstance(node, DictConfig) else None
    except OmegaConfBaseException:  # an interpolation that leads nowhere; the config's check reports it
        return None


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation allows, one by one."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for each in get_args(annotation) for kind in _kinds(each)}
    return {get_origin(annotation) or annotation}


def _check_key(cfg: DictConfig, key: str) -> None:
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, ListConfig) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        if isinstance(node, DictConfig):
            if part in node.keys():
                node = node[part]
                continue
            if "_target_" in node.keys():
                return
        known = [str(name) for name in node.keys()] if isinstance(node, DictConfig) else []
        close = difflib.get_close_matches(part, known, n=3) or known
        prefix = ".".join(parts[:depth])
        raise ValueError(
            f"override {key!r}: there is no {part!r} in {prefix or 'the config'}; "
            f"there is {', '.join(close) or 'nothing to set'} (+{key}=... adds a key)"
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
