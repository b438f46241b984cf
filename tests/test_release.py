"""The version stands the same everywhere, and what GitHub reads is well-formed and fits the project."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from projects.diffu_base import __version__

ROOT = Path(__file__).resolve().parents[1]
GITHUB = sorted((ROOT / ".github").rglob("*.yml"))
RELEASES = re.findall(
    r"^## \[(\d[\d.]*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE
)


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def setup_minimum(name: str) -> str:
    """The lower bound of a requirement, or of Python, in setup.py."""
    return re.search(rf'{name}(?:_requires=")?>=([\d.]+)', (ROOT / "setup.py").read_text())[1]


def test_changelog_and_citation_have_the_version_and_its_day():
    citation = read("CITATION.cff")
    assert RELEASES[0] == (__version__, citation["date-released"])
    assert citation["version"] == __version__
    assert RELEASES == sorted(RELEASES, key=lambda release: [int(part) for part in release[0].split(".")], reverse=True)


def test_what_is_to_come_stands_above_the_releases():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.index("## [Unreleased]") < text.index(f"## [{__version__}]")


def test_citation_names_every_paper_with_its_authors():
    references = read("CITATION.cff")["references"]
    titles = " ".join(reference["title"] for reference in references)
    for method in ("DiffuDETR", "DiffusionInst", "DiffusionDet", "DINO", "Deformable DETR", "Align-DETR"):
        assert f"{method}: " in titles
    for reference in references:
        assert reference["type"] in ("conference-paper", "article") and isinstance(reference["year"], int)
        assert all(author.keys() == {"family-names", "given-names"} for author in reference["authors"])


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_github_reads_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_continuous_integration_tries_the_oldest_and_the_newest_versions():
    oldest, newest = read(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert oldest["python"] == setup_minimum("python")
    assert oldest["torch"].startswith(setup_minimum("torch"))
    assert oldest["torchvision"].startswith(setup_minimum("torchvision"))
    defaults = dict(re.findall(r"^(TORCH|TORCHVISION) \?= (\S+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert (newest["torch"], newest["torchvision"]) == (defaults["TORCH"], defaults["TORCHVISION"])


@pytest.mark.parametrize("name", ["test.yml", "detectron2-main.yml"])
def test_workflows_run_targets_and_variables_of_the_makefile(name):
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"run: make (.*)", (ROOT / ".github" / "workflows" / name).read_text())
    assert commands
    for command in commands:
        target, *variables = re.sub(r"\$\{\{.*?\}\}", "x", command).split()
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
        assert all(f"$({variable.split('=')[0]})" in makefile.replace(",", ")") for variable in variables)
