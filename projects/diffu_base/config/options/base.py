"""What option classes share: strict types, errors and warnings that name the config's key."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeGuard, get_args

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

_CONFLICT, _MISSING = "conflict", "is missing"


class Options(BaseModel):
    """A part of a config. A field's type, default and description are the documentation of its key."""

    model_config = ConfigDict(strict=True, frozen=True, protected_namespaces=())

    @field_validator("*", mode="wrap")
    @classmethod
    def _let_calls_pass(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """Let every LazyCall pass, because what it returns is unknown before it is called."""
        return value if is_call(value) else check(value)

    @classmethod
    def read(cls, values: DictConfig | Mapping[str, Any], prefix: str) -> Self:
        """Read the options in `values`. Keys that are no options are ignored.

        Args:
            values: a part of a config; interpolations are resolved.
            prefix: the part's key, for messages.

        Raises:
            ValueError: naming each wrong key, its value and what is allowed.
        """
        plain: Any = OmegaConf.to_container(values, resolve=True) if isinstance(values, DictConfig) else values
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            problems = _messages(error, plain, prefix)
            raise ValueError("\n".join(f"{key} {problem}" for key, problem in problems.items())) from error

    @classmethod
    def problems(cls, values: Mapping[str, Any], prefix: str) -> dict[str, str]:
        """The problems of the plain `values` under `prefix`: key -> what is wrong ("is 0; ...", "is missing")."""
        try:
            cls.model_validate(values)
        except ValidationError as error:
            return _messages(error, values, prefix)
        return {}

    @classmethod
    def unread(cls, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """A line for every key of `values` that is no option, so that nothing reads it."""
        for key in values.keys() - cls.model_fields.keys() if cls.model_config.get("extra") != "allow" else ():
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            instead = f"; there is {join_key(prefix, near[0])}" if near else ""
            yield f"{join_key(prefix, key)} is no option: nothing reads it{instead}"
        yield from cls.unread_in_parts(values, prefix)

    @classmethod
    def unread_in_parts(cls, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """Like `unread`, but only for the parts inside `values`, not for its own keys."""
        for key in cls.model_fields:
            part, value = cls.part(key), values.get(key)
            if part is not None and isinstance(value, Mapping):
                yield from part.unread(value, join_key(prefix, key))

    @classmethod
    def part(cls, key: str) -> "type[Options] | None":
        """The class of the options under `key`, if `key` holds a part of these options."""
        annotation = cls.model_fields[key].annotation if key in cls.model_fields else None
        kinds = (annotation, *get_args(annotation))
        return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Options)), None)


def is_call(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value`, of a config, is a LazyCall."""
    return isinstance(value, Mapping) and "_target_" in value


def call(target: str) -> dict[str, str]:
    """A LazyCall of the dotted name `target` without arguments, as YAML has it."""
    return {"_target_": target}


def join_key(prefix: str, *parts: str | int) -> str:
    """The key of something inside of `prefix`, which is empty for the whole config."""
    return ".".join(map(str, (prefix, *parts) if prefix else parts))


def conflict(key: str, value: Any, allowed: str) -> PydanticCustomError:
    """The error of a check that compares values: the other values do not allow `value` at `key`."""
    return PydanticCustomError(_CONFLICT, "{allowed}", {"key": key, "value": value, "allowed": allowed})


def _messages(error: ValidationError, values: Any, prefix: str) -> dict[str, str]:
    """Translate pydantic's error: key of the config -> what is wrong with it."""
    rules: dict[str, list[str]] = {}
    inputs: dict[str, Any] = {}
    for detail in error.errors():
        context = detail.get("ctx", {}) if detail["type"] == _CONFLICT else {}
        path = _path(detail["loc"], values, missing=detail["type"] == "missing")
        key = join_key(prefix, *path, *filter(None, [context.get("key")]))
        rules.setdefault(key, []).append(_rule(detail))
        inputs[key] = context.get("value", detail["input"])
    # If several types are allowed, pydantic reports an error for each. The one that lies deepest tells most.
    deepest = {key for key in rules if not any(other.startswith(f"{key}.") for other in rules)}
    return {key: _with_value(inputs[key], rules[key]) for key in rules if key in deepest}


def _path(location: tuple[str | int, ...], values: Any, *, missing: bool) -> list[str | int]:
    """pydantic's location of an error, without the names of a union's types, which are no keys of the config."""
    path: list[str | int] = []
    for position, step in enumerate(location):
        is_key = step in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(step, int)
        if is_key:
            values = values[step]
        if is_key or (missing and position == len(location) - 1):
            path.append(step)
    return path


def _rule(detail: Any) -> str:
    if detail["type"] == "missing":
        return _MISSING
    if detail["type"] == "model_type":
        return "several keys belong here, not one value"
    if detail["type"] == "extra_forbidden":
        return "there is no such key"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def _with_value(value: Any, rules: list[str]) -> str:
    if rules == [_MISSING]:
        return _MISSING
    shown = repr(value) if isinstance(value, bool | int | float | str | list | None) else type(value).__name__
    return f"is {shown:.200}; {', or '.join(dict.fromkeys(rules))}"
