"""The printed reference of all options: of a config with its values, and of everything that can be set.

python -m projects.diffu_base.config.reference > docs/options.md
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from pydantic.fields import FieldInfo

from .options.base import Options, is_call, join_key
from .options.catalog import EXPLAINED, TOPICS, options_of
from .options.run import RunOptions
from .options.wording import kind, short_name, shown
from .walk import interpolation_at, plain_values

INTRODUCTION = """# Options

Everything that a config can set: its type, its default and what it does. An option without a default must be set.

- On the command line `key=value` sets an option: `train.max_iter=20000`, `model.sampler.num_steps=5`.
- Where an option takes text alone, as every path does, all characters behind `=` are that text; quotation marks around
  the whole text are left out, and `~` is the home directory. Lists (`[a, b]`), `null`, `true` and mappings are written
  as in YAML on one line.
- An *object* is made by a LazyCall: `L(SomeClass)(argument=...)` in a Python config, and in YAML a mapping with the key
  `_target_`. The sentence names the classes of this project that fit; your own fit as well.
- Wrong values are refused when the config is read. What a class of your own takes is not checked.

`python -m projects.diffu_base.config.reference > docs/options.md` makes this page from the options' own declarations in
`projects/diffu_base/config/options/`.
"""
_WIDEST_VALUE = 60
_SETTING, _KIND = 60, 24  # widths of columns; a longer entry moves the rest of its line


class Entry(NamedTuple):
    """A key of a config with its value and, if an option explains it, its type and its sentence."""

    key: str
    value: Any
    kind: str
    sentence: str
    default: str = ""
    is_explained: bool = True


def describe(cfg: DictConfig) -> str:
    """Describe every key of the config in a line: `key = value`, its type, its default and a sentence.

    If an interpolation gives a value, the interpolation follows it in brackets, and what is inside the value is left
    out. A part of a config may lack the keys that its interpolations name; the lines then have the interpolations as
    values.
    """
    return "\n".join(_lines(cfg))


def _lines(cfg: DictConfig) -> Iterator[str]:
    for entry in explain(_values(cfg)):
        borrowed = interpolation_at(cfg, entry.key)
        if borrowed is not None and borrowed[0] != entry.key:
            continue
        source = "" if borrowed is None or borrowed[1] == entry.value else f" ({borrowed[1]})"
        setting = f"{entry.key} = {_short(shown(entry.value))}{source}"
        yield f"{setting:{_SETTING}}  {f'{entry.kind}{entry.default}':{_KIND}}  {entry.sentence}".rstrip()


def _values(cfg: DictConfig) -> dict[str, Any]:
    try:
        return plain_values(cfg)
    except ValueError:
        values: Any = OmegaConf.to_container(cfg, resolve=False)
        return values


def explain(values: Mapping[str, Any], key: str = "", options: type[Options] | None = RunOptions) -> Iterator[Entry]:
    """Explain the plain `values` under `key`, and everything inside them."""
    for name, value in values.items():
        if name == "_target_":
            continue
        at, field = join_key(key, name), None if options is None else options.model_fields.get(name)
        part = None if options is None else options.part(name)
        if part is None or not isinstance(value, Mapping):
            yield Entry(at, value, *_about(field), is_explained=field is not None)
        if is_call(value):
            yield from explain(value, at, options_of(value["_target_"]))
        elif isinstance(value, Mapping) and (part is not None or field is None):
            yield from explain(value, at, part)
        elif isinstance(value, list):
            yield from _explain_items(value, at)


def _explain_items(values: list[Any], key: str) -> Iterator[Entry]:
    for position, value in enumerate(values):
        if is_call(value):
            options = options_of(value["_target_"])
            at = join_key(key, position)
            yield Entry(at, value, "object", _summary(options), is_explained=options is not None)
            yield from explain(value, at, options)


def _about(field: FieldInfo | None) -> tuple[str, str, str]:
    """Type, sentence and default of an option; empty where nothing explains the key."""
    if field is None:
        return "", "", ""
    default = "" if field.is_required() else f" (default {_short(shown(field.get_default()))})"
    return kind(field), field.description or "", default


def _summary(options: type[Options] | None) -> str:
    return inspect.cleandoc(options.__doc__ or "") if options is not None else ""


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST_VALUE else f"{text[: _WIDEST_VALUE - 3]}..."


def reference() -> str:
    """All options in Markdown."""
    sections = [section for topic in TOPICS for section in _topic(topic)]
    return "\n".join([INTRODUCTION, *sections])


def _topic(topic: Any) -> Iterator[str]:
    """The sections of a module's options, in its order, after a title from its docstring."""
    yield f"## {inspect.cleandoc(topic.__doc__).partition('. ')[0].splitlines()[0].removesuffix('.')}\n"
    for options in vars(topic).values():
        if isinstance(options, type) and options.__module__ == topic.__name__ and options in _TITLES:
            yield _section(options)


def _section(options: type[Options]) -> str:
    names = {explained: name for name, explained in EXPLAINED.items()}
    name = f"`{names[options]}`\n" if options in names else ""
    like = next((base for base in options.__mro__[1:] if issubclass(base, Options) and base in names), None)
    rows = list(_rows(options, options, like, "" if name or options is RunOptions else f"{_TITLES[options]}."))
    table = "\n".join(["| option | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"
    parts = [f"### {_TITLES[options]}\n", f"{_linked(_summary(options), options)}\n", name, table if rows else ""]
    if like is not None and like.model_fields:
        also = " also" if rows else ""
        parts.append(f"It{also} takes the options of {_linked(f'`{_TITLES[like]}`', options)}.\n")
    return "\n".join(filter(None, parts))


def _rows(options: type[Options], owner: type[Options], like: type[Options] | None, prefix: str) -> Iterator[str]:
    """The rows of a section's table. Options that `like` also has are left out."""
    for key in _own_first(options):
        field, part = options.model_fields[key], options.part(key)
        if like is not None and key in like.model_fields and _same(field, like.model_fields[key]):
            continue
        if part is not None and part not in _TITLES:
            yield from _rows(part, owner, like.part(key) if like is not None else None, f"{prefix}{key}.")
            continue
        default = "" if field.is_required() or part is not None else f"`{shown(field.get_default())}`"
        yield f"| `{prefix}{key}` | {kind(field)} | {default} | {_linked(field.description or '', owner)} |"


def _own_first(options: type[Options]) -> list[str]:
    """The keys of `options`. Those that its base classes lack come first."""
    classes = [each for each in options.__mro__ if issubclass(each, Options)]
    names = (name for each in classes for name in vars(each).get("__annotations__", {}))
    return [name for name in dict.fromkeys(names) if name in options.model_fields]


def _same(field: FieldInfo, other: FieldInfo) -> bool:
    return field.annotation == other.annotation and field.description == other.description


def _linked(text: str, options: type[Options]) -> str:
    """`text` with a link at each name of a function or class that has a section of its own."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f"[{match[0]}](#{_ANCHORS[name]})" if name in _ANCHORS and name != _TITLES[options] else match[0]

    return re.sub(r"`([\w.]+)`", link, text)


# Options that have a section -> its title.
_TITLES: dict[type[Options], str] = {
    RunOptions: "Top level",
    **{part: key for key in RunOptions.model_fields if (part := RunOptions.part(key)) is not None},
    **{options: short_name(name) for name, options in EXPLAINED.items()},
}
_ANCHORS = {title: re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in _TITLES.values()}

if __name__ == "__main__":
    print(reference(), end="")
