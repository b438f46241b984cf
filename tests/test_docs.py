"""What the documentation names is there: files, headings, a row in the model zoo for every config."""

import ast
import re
from glob import has_magic
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ZOO = ROOT / "docs" / "model_zoo.md"
FOLDERS = "layers_diffu_detr|projects|datasets_utils|configs|tools|tests|docs"
# A path from the repository's root; not the end of a longer one, and not a pattern such as projects/<model>/.
PATH = re.compile(rf"(?<![\w./>-])(?:{FOLDERS})/[\w./*{{}},-]*(?![\w./*{{}},<-])")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
# The zoo of the DiffuDETR paper.
CONFIGS = sorted(path for path in ROOT.glob("projects/diffu_*/configs/**/*.py") if path.parent.name != "models")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def expand(pattern: str) -> list[str]:
    """The paths that `{a,b}` in `pattern` stands for."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    return [
        p for part in braces[1].split(",") for p in expand(pattern[: braces.start()] + part + pattern[braces.end() :])
    ]


def exists(path: str) -> bool:
    return any(ROOT.glob(path)) if has_magic(path) else (ROOT / path).exists()


def anchors(doc: Path) -> set[str]:
    """What links to a document's headings end in, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", doc.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_files_that_are_named_exist(doc: Path):
    named = {path.rstrip(".,") for path in PATH.findall(doc.read_text())}
    assert [path for path in sorted(named) if not all(map(exists, expand(path)))] == []


@pytest.mark.parametrize("doc", DOCS, ids=name)
def test_links_lead_somewhere(doc: Path):
    for target, anchor in LINK.findall(doc.read_text()):
        file = doc.parent / target if target else doc
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_a_name_that_is_wrong_is_found():
    assert PATH.findall("see `tools/train_nt.py`, --config-file projects/x/*.py") == [
        "tools/train_nt.py",
        "projects/x/*.py",
    ]
    assert PATH.findall("`projects/<model>/configs`, a/tools/b.py, detrex's projects.") == []
    assert not exists("tools/train_nt.py") and exists("tools/train_net.py") and exists("projects/*/configs")
    assert expand("a/{b,c}.py") == ["a/b.py", "a/c.py"]


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_zoo_has_every_config_with_the_figure_that_the_config_states(config: Path):
    lines = [line for line in ZOO.read_text().splitlines() if f"`{name(config)}`" in line]
    assert lines
    stated = re.search(r"([\d.]+) AP in the paper", ast.get_docstring(ast.parse(config.read_text())))
    figures = [figure for line in lines for figure in re.findall(r"\| (\d\d\.\d)[ /]", line)]
    assert figures == ([stated[1]] if stated else [])
