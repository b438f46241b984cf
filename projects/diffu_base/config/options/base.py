"""What option classes share: strict types, errors and warnings that name the config's key."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError


class Options(BaseModel):
    """A part of a config. A field's type, default and description are the documentation of its key."""

    model_config = ConfigDict(strict=True, frozen=True, protected_namespaces=())

    @classmethod
    def read(cls, values: DictConfig | Mapping[str, Any], prefix: str) -> Self:
        """The options in `values`; keys that are no options are left out.

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
            raise ValueError("\n".join(_line(detail, prefix) for detail in error.errors())) from error

    @classmethod
    def unread(cls, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """A line for every key of `values` that is no option, so that nothing reads it."""
        if cls.model_config.get("extra") == "allow":
            return
        for key, value in values.items():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(key, cls.model_fields, n=1)
                instead = f"; there is {prefix}.{near[0]}" if near else ""
                yield f"{prefix}.{key} is no option: nothing reads it{instead}"
                continue
            part = cls.model_fields[key].annotation
            if isinstance(part, type) and issubclass(part, Options) and isinstance(value, Mapping):
                yield from part.unread(value, f"{prefix}.{key}")


def _line(detail: Any, prefix: str) -> str:
    """One wrong key of pydantic's error, in the config's terms."""
    key = ".".join([prefix, *map(str, detail["loc"])])
    if detail["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {detail['input']!r}; {detail['msg'][:1].lower()}{detail['msg'][1:]}"
