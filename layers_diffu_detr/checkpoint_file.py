"""Reading checkpoint files. A file may hold tensors, arrays and containers of them; none of its code is executed."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_checkpoint(path: str | os.PathLike) -> Mapping[str, Any]:
    """Read a checkpoint file without executing code from it; tensors arrive on the CPU.

    Raises:
        ValueError: the file holds anything but containers, numbers, strings, tensors and numpy arrays.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a checkpoint is a file")
    if kind := _foreign_kind(path):
        raise ValueError(f"{path} is {kind}; a checkpoint is a file of torch.save, .safetensors or .pkl")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                content = _ArrayUnpickler(file, encoding="latin1").load()
        else:
            # A mapped file is read where it is needed: of a run's checkpoint only the weights, not the optimizer.
            mmap = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: only tensors, arrays and containers of them are allowed: {error}") from error
    except (EOFError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or no checkpoint: {type(error).__name__}: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}; a mapping of names to tensors is allowed")
    return content


# How files that are often taken for checkpoints begin.
_FOREIGN = {
    b"version https://git-lfs": "the pointer of Git LFS to a file that was not fetched (git lfs pull)",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"<!DOCTYPE": "a web page, perhaps a download that needs a log-in",
    b"<!doctype": "a web page, perhaps a download that needs a log-in",
    b"<html": "a web page, perhaps a download that needs a log-in",
    b"\x1f\x8b": "a gzip archive, to be unpacked first",
}


def _foreign_kind(path: Path) -> str | None:
    """What the file is, if its first bytes say that it is no checkpoint."""
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        return "empty"
    return next((kind for magic, kind in _FOREIGN.items() if start.startswith(magic)), None)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no file in the format safetensors: {error}") from error


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, which pickle's protocol 2 calls to restore bytes, always with this encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes bytes as {encoding!r}")
    return text.encode("latin1")


# Module and name in a pickle -> what is used for it. Arrays of numpy need these functions. Some are private, and numpy
# 2 renamed their module; they are therefore taken from what an array says of itself.
_ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode_latin1,
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = np.zeros(1).__reduce__()[0]
    _ADMITTED[f"{_core}.multiarray", "scalar"] = np.float32(0).__reduce__()[0]
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler for numpy arrays and containers. It refuses every other function or class before importing it."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]
