"""A setting to measure: a config with overrides, environment variables, and whether memory's values are cached."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from omegaconf import DictConfig

from layers_diffu_detr.multi_scale_deform_attn import ENV_VARIABLE, choose_deform_attn_op
from projects.diffu_base.config.checks import load_config

_OWN_PREFIX = "DIFFU_DETR_"
_OWN_VARIABLES = (ENV_VARIABLE,)


@dataclass(frozen=True)
class Setting:
    """What distinguishes one worker from another.

    config_file, overrides, num_gpus: as tools/train_net.py takes them.
    environment: variables that the worker starts with, beside this process's.
    cache: False projects memory to values again in every decoder evaluation.
    """

    config_file: str
    overrides: tuple[str, ...] = ()
    num_gpus: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    cache: bool = True

    def plus(self, words: str | Sequence[str]) -> "Setting":
        """This setting and `words`: ``key=value`` of the config, ``VARIABLE=value``, ``cache=on`` or ``cache=off``.

        Raises:
            ValueError: naming the word and what is allowed.
        """
        setting = self
        for word in shlex.split(words) if isinstance(words, str) else words:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise ValueError(f"{word!r} is not of the form key=value, VARIABLE=value or cache=off")
            if name == "cache":
                if value not in ("on", "off"):
                    raise ValueError(f"cache is {value!r}; allowed are on, off")
                setting = replace(setting, cache=value == "on")
            elif re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                _check_variable(name, value)
                setting = replace(setting, environment={**setting.environment, name: value})
            else:
                setting = replace(setting, overrides=(*setting.overrides, word))
        return setting

    def load(self) -> DictConfig:
        """The configuration; raises `load_config`'s errors. A seed that is to be drawn becomes 0."""
        cfg = load_config(self.config_file, self.overrides, num_gpus=self.num_gpus)
        cfg.train.seed = max(cfg.train.seed, 0)
        return cfg

    @property
    def checkpoint(self) -> bool:
        """Whether weights are named; those of the config file, a pretrained backbone's, are not worth a download."""
        return any(word.startswith("train.init_checkpoint=") for word in self.overrides)


def _check_variable(name: str, value: str) -> None:
    """Refuse variables of this project that do not exist and values that it would refuse later, in the worker."""
    if name.startswith(_OWN_PREFIX) and name not in _OWN_VARIABLES:
        raise ValueError(f"there is no variable {name}; there is {', '.join(_OWN_VARIABLES)}")
    if name == ENV_VARIABLE:
        choose_deform_attn_op(value)
