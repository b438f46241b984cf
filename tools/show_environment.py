"""Says in one line which detectron2, which deformable-attention op and which device this Python uses."""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from layers_diffu_detr.multi_scale_deform_attn import DEFORM_ATTN_OP_NAME


def describe_detectron2() -> str:
    """The version and source of the installed detectron2.

    Raises:
        ImportError: if detectron2 is not installed.
    """
    import detectron2

    try:
        distribution = metadata.distribution("detectron2")
    except metadata.PackageNotFoundError:  # a source tree on the Python path
        return f"detectron2 {detectron2.__version__} ({detectron2.__path__[0]})"
    origin = distribution.read_text("direct_url.json")
    if origin:
        source = json.loads(origin)
        commit = source.get("vcs_info", {}).get("commit_id", "")[:9]
        where = f"{source['url']}{'@' if commit else ''}{commit}"
    elif distribution.version.endswith("+pb1"):
        where = "PyPI's pb1-detectron2 source archive, mended, without C++ extension"
    else:
        where = detectron2.__path__[0]
    return f"detectron2 {distribution.version} ({where})"


def describe_device() -> str:
    """The GPUs that torch sees, or the CPU with its number of cores."""
    if torch.cuda.is_available():
        return f"device cuda ({torch.cuda.device_count()} x {torch.cuda.get_device_name()})"
    return f"device cpu ({len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores)"


def describe_op() -> str:
    """The deformable-attention op in use."""
    names = {"compiled": "compiled torch-ms-deform-attn", "pytorch": "pure PyTorch"}
    return f"deformable attention: {names[DEFORM_ATTN_OP_NAME]}"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{describe_detectron2()} | {describe_op()} | torch {torch.__version__}, {describe_device()}")
