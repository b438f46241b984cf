"""Reading configs by name, with overrides, from a checkout, from any directory and from an installed wheel."""

import builtins
import difflib
import traceback
from collections.abc import Iterator
from pathlib import Path

from detectron2.config import LazyConfig
from omegaconf import DictConfig

from .overrides import apply_overrides
from .renames import update_names

_BASE = Path(__file__).resolve().parents[1]  # projects/diffu_base
_PROJECTS = _BASE.parent
# A checkout has the shared configs in configs/common, a wheel has them inside this package.
_COMMON = next(
    (folder for folder in (_BASE / "common_configs", _PROJECTS.parent / "configs" / "common") if folder.is_dir()), None
)
_SUFFIXES = (".py", ".yaml", ".yml")


def get_config(name: str, *overrides: str) -> DictConfig:
    """Read a config with all of its keys.

    Args:
        name: a config's name as `config_names` has it (`diffu_dino/dino-resnet/coco-r50-4scales-50ep`); fewer of its
            folders where that is unique (`coco-r101-4scales-12ep` is not, `diffu_align_detr/coco-r101-4scales-12ep`
            is); or the path of a config file, with or without `.py`. A path that exists wins over a name if it ends in
            `.py`, `.yaml` or `.yml` or begins with `/` or `.`; otherwise the name wins.
        overrides: `key=value`, as on the command line of tools/train_net.py.

    Returns:
        A new config; changing it changes no other.

    Raises:
        ValueError: there is no such config, several have this name, its file cannot be read, or an override does not
            fit the config.
    """
    path = find_config(name)
    original_import = builtins.__import__
    try:
        cfg = LazyConfig.load(str(path))
    except Exception as error:  # a config file may raise anything
        raise ValueError(_problem_of_file(error, path)) from error
    finally:
        builtins.__import__ = original_import  # LazyConfig leaves its own there if the file raises
    if path.suffix != ".py":  # saved by a run, perhaps of an older version
        update_names(cfg)
    return apply_overrides(cfg, overrides)


def _problem_of_file(error: Exception, path: Path) -> str:
    """What `error`, which reading the file of a config raised, says to the user."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
    where = f"config {str(path)!r}{'' if line is None else f', line {line}'}"
    if isinstance(error, ValueError):
        return f"{where}: {error}"
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return f"{where}: {kind}{' '.join(str(error).split())}"


def find_config(name: str) -> Path:
    """The file of a config; see `get_config`.

    Raises:
        ValueError: there is no such config, or several have this name.
    """
    path = Path(name).expanduser()
    if (path.suffix in _SUFFIXES or path.is_absolute() or name.startswith(".")) and (found := _existing(path)):
        return found
    catalog = dict(_catalog())
    wanted = _without_folders_of_the_checkout(name)
    if wanted in catalog:
        return catalog[wanted]
    matches = [known for known in catalog if _abbreviates(wanted, known)]
    if len(matches) == 1:
        return catalog[matches[0]]
    if matches:
        raise ValueError(f"config {name!r} is ambiguous; there are {', '.join(matches)}")
    if found := _existing(path):
        return found
    raise ValueError(f"there is no config {name!r}, neither a file nor a name; near are {', '.join(_near(wanted))}")


def config_name(name: str) -> str | None:
    """The full name of the config that `name` abbreviates; None if there is none, or more than one."""
    wanted = _without_folders_of_the_checkout(name)
    names = config_names()
    matches = [wanted] if wanted in names else [known for known in names if _abbreviates(wanted, known)]
    return matches[0] if len(matches) == 1 else None


def config_names() -> list[str]:
    """The names of all configs: `<project>/<folders and file below its configs>`, and `common/...` for shared parts."""
    return [name for name, _ in _catalog()]


def _catalog() -> Iterator[tuple[str, Path]]:
    """Every config's name and file."""
    folders = {project.name: project / "configs" for project in sorted(_PROJECTS.iterdir())}
    if _COMMON is not None:
        folders["common"] = _COMMON
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            yield f"{prefix}/{path.relative_to(folder).with_suffix('').as_posix()}", path


def _without_folders_of_the_checkout(name: str) -> str:
    """Turn a path of the checkout into a config's name; from any other name, only remove `.py`.

    For example, `projects/diffu_dino/configs/demo/digits.py` becomes `diffu_dino/demo/digits`.
    """
    parts = Path(name.removesuffix(".py")).parts
    if parts[:1] == ("projects",) and parts[2:3] == ("configs",):
        parts = (parts[1], *parts[3:])
    elif parts[:2] == ("configs", "common"):
        parts = parts[1:]
    return "/".join(parts)


def _abbreviates(short: str, name: str) -> bool:
    """Whether `short` is `name` with some of its folders left out."""
    folders, last = name.split("/")[:-1], name.split("/")[-1]
    *wanted, file = short.split("/")
    remaining = iter(folders)
    return file == last and all(folder in remaining for folder in wanted)


def _existing(path: Path) -> Path | None:
    candidates = (path, path.with_name(f"{path.name}.py")) if path.name else ()
    return next((each.resolve() for each in candidates if each.suffix in _SUFFIXES and each.is_file()), None)


def _near(name: str) -> list[str]:
    """The names of the configs that resemble `name` most, as a whole or in the last part."""
    names = config_names()
    by_file = {known.rpartition("/")[2]: known for known in names}
    files = difflib.get_close_matches(name.rpartition("/")[2], by_file, n=3, cutoff=0.5)
    whole = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return list(dict.fromkeys([*whole, *(by_file[file] for file in files)])) or names[:3]
