"""The results of an evaluation as a file."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from detectron2.utils import comm

from .checkpoint import atomic_write

Results = dict[str, Any]


def write_results(output_dir: str, results: Results, **context: Any) -> None:
    """Write ``results.json``: the context's entries and ``results``; NaN becomes null."""
    if comm.is_main_process():
        os.makedirs(output_dir, exist_ok=True)
        text = json.dumps({**context, "results": plain_results(results)}, indent=2)
        atomic_write(text + "\n", os.path.join(output_dir, "results.json"))


def plain_results(results: Mapping[str, Any]) -> Results:
    """`results` with numbers that JSON has: NaN becomes None, and what is no number becomes a text."""
    return {str(key): _plain(value) for key, value in results.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain_results(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None
