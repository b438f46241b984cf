"""Model folders on the Hugging Face Hub."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from detectron2.utils.registry import locate

from .model_folder import CONFIG_FILE, FILES

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
# Where the classes and functions of a fetched config may come from: what builds models, and nothing that runs programs.
_ALLOWED = re.compile(
    r"(layers_diffu_detr|datasets_utils|projects\.\w+\.modeling|detectron2\.(modeling|layers|data|solver|evaluation)"
    r"|fvcore\.(common\.param_scheduler|transforms)|torch\.(nn|optim))\."
)


def is_hub_id(text: str) -> bool:
    """Whether `text` looks like "owner/name" or "owner/name@revision"."""
    return HUB_ID.fullmatch(text) is not None


def fetch(hub_id: str) -> Path:
    """Fetch a model folder from the Hub, or from its cache, and check its config.

    Args:
        hub_id: "owner/name", or "owner/name@revision" for a branch, tag or commit.

    Returns:
        The folder in the cache of huggingface_hub.

    Raises:
        ValueError: huggingface_hub is not installed, the Hub cannot be reached, it has no such model, or the model's
            config names something that does not belong into a config.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise ValueError(
            f"{hub_id!r} is no folder; if it is a model on the Hugging Face Hub, install huggingface_hub: "
            "pip install huggingface_hub"
        ) from error
    repo_id, _, revision = hub_id.partition("@")
    endpoint = os.environ.get("HF_ENDPOINT")  # huggingface_hub reads it only when it is imported
    for file in FILES:
        try:
            path = Path(hf_hub_download(repo_id, file, revision=revision or None, endpoint=endpoint))
        except (HfHubHTTPError, OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"model {hub_id!r}: {file} cannot be fetched from the Hub: {reason}") from error
    check_config(path.with_name(CONFIG_FILE))
    return path.parent


class _Names(yaml.SafeLoader):
    """Reads a config without calling anything; Python's names and objects are read as their names."""


def _name_of(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    return {"_target_": suffix.partition(":")[2]}


_Names.add_multi_constructor("tag:yaml.org,2002:python/", _name_of)


def check_config(path: Path) -> None:
    """Refuse a config that would call something else than what builds models, their data and schedules.

    Raises:
        ValueError: naming what is refused.
    """
    with path.open(encoding="utf-8") as file:
        content = yaml.load(file, Loader=_Names)
    for target in _targets(content):
        if target and not _is_allowed(target):
            raise ValueError(f"{path}: the config names {target!r}, which a fetched config must not call")


def _targets(content: Any) -> list[str]:
    if isinstance(content, list):
        return [target for each in content for target in _targets(each)]
    if not isinstance(content, dict):
        return []
    own = [str(content["_target_"])] if "_target_" in content else []
    return own + [target for value in content.values() for target in _targets(value)]


def _is_allowed(target: str) -> bool:
    """Whether `target` and the object behind it belong to the allowed packages: a module also shows what it imports."""
    if target in ("tuple", "builtins.tuple"):
        return True
    if not _ALLOWED.match(target):
        return False
    found = locate(target)
    home = f"{getattr(found, '__module__', '')}."
    return callable(found) and _ALLOWED.match(home) is not None
