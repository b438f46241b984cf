"""Pages of one HTML file: a template, styles and scripts from the folder `templates`, and data, all in the file."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, *, data: Any, **context: Any) -> str:
    """Returns a page.

    Args:
        template: a file of the folder `templates`.
        data: JSON values for the page's script, which finds them as `data`.
        context: what the template reads.
    """
    # Without line breaks around its blocks, a page of thousands of table rows is half as long.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(percent=percent, count=count)
    # A "<" in a file name must not end the script that holds the data.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return environment.get_template(template).render(data=text, **context)


def write(page: str, path: Path) -> Path:
    """Writes a page and returns `path`, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def count(value: int) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"
