"""Files and functions stay small enough to be read at a sitting."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("layers_diffu_detr", "projects", "datasets_utils", "configs", "tools", "tests")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 300, 45


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_and_no_function_is_long(room: str):
    files = [path for path in FILES if path.is_relative_to(ROOT / room)]
    assert files
    too_long = [name(path) for path in files if len(path.read_text().splitlines()) > MOST_LINES_OF_A_FILE]
    too_long += [f"{name(path)}: {function.name}" for path in files for function in long_functions(path)]
    assert not too_long


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def long_functions(path: Path) -> list[ast.FunctionDef]:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return [f for f in functions if (f.end_lineno or 0) - f.lineno >= MOST_LINES_OF_A_FUNCTION]
