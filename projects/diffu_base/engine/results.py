"""The results of an evaluation as a file."""

import json
import math
import os
from typing import Any

from detectron2.utils import comm

from .checkpoint import atomic_write

Results = dict[str, Any]


def write_results(output_dir: str, results: Results, **context: Any) -> None:
    """Write ``results.json``: the context's entries and ``results``; NaN becomes null."""
    if comm.is_main_process():
        os.makedirs(output_dir, exist_ok=True)
        text = json.dumps({**context, "results": _plain(results)}, indent=2)
        atomic_write(text + "\n", os.path.join(output_dir, "results.json"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None
