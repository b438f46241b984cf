"""A wheel that works: what it holds, and a run from it in an empty directory, without this checkout."""

import ast
import email
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from projects.diffu_base import __version__
from projects.diffu_base.config.files import config_names
from tests.support.custom_tree import overrides, write_custom_tree

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("layers_diffu_detr", "datasets_utils", "projects")
SOURCES = (*PACKAGES, "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
# Installed by other means; detrex is never required.
NOT_ON_PYPI = {"detectron2", "torch-ms-deform-attn", "detrex"}
# What a small machine without a network asks for, of the config for one's own data.
SMALL = (
    "train.init_checkpoint=",
    "train.max_iter=2",
    "train.seed=0",
    "model.embed_dim=32",
    "model.num_queries=20",
    "model.dn_number=4",
    "model.transformer.encoder.num_layers=1",
    "model.transformer.decoder.num_layers=2",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.train.mapper.augmentation_with_crop=null",
    "dataloader.train.mapper.augmentation.1.short_edge_length=[64]",
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentation.0.short_edge_length=64",
)


def python(*arguments: str, cwd: Path, path: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """This Python, with `path` as its PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the sources, so that the build leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder))
    python("-m", "pip", "wheel", *options, ".", cwd=source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> Message:
    (path,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(zipfile.ZipFile(wheel).read(path))


def test_top_level_packages_are_this_projects_alone(names):
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert "projects/__init__.py" not in names  # a namespace, which detrex and others share


def test_every_module_and_every_type_marker_is_in_it(names):
    code = {
        path.relative_to(ROOT).as_posix()
        for top in PACKAGES
        for path in (ROOT / top).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert code <= names
    folders = {"/".join(name.split("/")[: 2 if name.startswith("projects/") else 1]) for name in code}
    assert len(folders) > 6 and {f"{folder}/py.typed" for folder in folders} <= names


def test_every_config_is_in_it(names):
    common = {
        "projects/diffu_base/common_configs/" + path.relative_to(ROOT / "configs" / "common").as_posix()
        for path in (ROOT / "configs" / "common").rglob("*.py")
    }
    assert len(common) > 10 and common <= names
    assert "projects/diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py" in names


def test_every_template_of_a_page_is_in_it(names):
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "projects").rglob("templates/*")}
    assert len(templates) > 3 and templates <= names


def test_metadata_tell_what_it_is(wheel, metadata):
    assert wheel.name == f"diffu_detr-{__version__}-py3-none-any.whl"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] or metadata["License"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert all(url in (ROOT / "README.md").read_text() for url in urls.values())


class Installed:
    """The wheel in a folder, beside the requirements, without the checkout."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.site, self.empty = folder / "site", folder / "empty"
        self.empty.mkdir()
        options = ("--no-deps", "--no-index", "--quiet", "--target", str(self.site))
        python("-m", "pip", "install", *options, str(wheel), cwd=folder)
        requirements = [each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
        self.path = os.pathsep.join([str(self.site), *requirements])

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """-S reads no .pth file, so that an editable installation of the checkout is not found."""
        return python("-S", *arguments, cwd=self.empty, path=self.path, check=check)

    def diffudetr(self, *arguments: str) -> str:
        """What the console command prints."""
        return self.python(str(self.site / "bin" / "diffudetr"), *arguments).stdout


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_the_packages_are_the_wheels_and_configs_are_read(installed):
    code = (
        "import datasets_utils, layers_diffu_detr, projects.diffu_base as base, projects.diffu_dino as dino\n"
        "for module in (datasets_utils, layers_diffu_detr, base, dino): print(module.__file__)\n"
        "print(base.get_config('diffu_dino/dino-resnet/coco-r50-4scales-50ep').train.max_iter)"
    )
    *files, max_iter = installed.python("-c", code).stdout.splitlines()
    assert all(Path(file).is_relative_to(installed.site) for file in files)
    assert max_iter == "375000"


def test_version_and_configs_are_those_of_the_checkout(installed):
    assert installed.diffudetr("version") == f"{__version__}\n"
    assert [line.split()[0] for line in installed.diffudetr("config").splitlines()] == config_names()


def test_own_data_train_and_evaluate(installed, tmp_path):
    data = overrides(write_custom_tree(tmp_path))
    installed.diffudetr("check", "diffu_dino/custom-r50-4scales", *data)
    run = ("--num-gpus", "0", *SMALL, *data)
    installed.diffudetr("train", "diffu_dino/custom-r50-4scales", *run, "train.output_dir=trained")
    checkpoint = installed.empty / "trained" / "model_final.pth"
    arguments = ("--checkpoint", str(checkpoint), *run, "train.output_dir=evaluated")
    installed.diffudetr("eval", "diffu_dino/custom-r50-4scales", *arguments)
    for folder in ("trained", "evaluated"):
        results = json.loads((installed.empty / folder / "results.json").read_text())
        assert results["results"]["bbox"]["AP"] >= 0


@pytest.mark.parametrize("command", [("train", "common/train"), ("config",), ("check", "a.json", "images")])
def test_without_detectron2_a_line_says_what_to_run(installed, command):
    code = (
        "import sys\n"
        "sys.modules['detectron2'] = None  # as if it were not installed\n"
        "from projects.diffu_base.cli import main\n"
        "sys.exit(main())"
    )
    done = installed.python("-c", code, *command, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: detectron2 is not installed") and done.stderr.count("\n") == 1
    assert "diffudetr install-detectron2" in done.stderr
    assert "pb1-detectron2" in installed.python("-c", code, "install-detectron2", "--help").stdout


def test_what_the_packages_import_is_required(metadata):
    """Nothing is there only because another package happens to bring it."""
    required = {re.split(r"[<>=;\[ ]", line)[0] for line in metadata.get_all("Requires-Dist")}
    assert third_party() - NOT_ON_PYPI <= required


def third_party() -> set[str]:
    """The distributions, by their names on PyPI, of what the packages import."""
    modules = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    modules.add(node.module.partition(".")[0])
    distributions = importlib.metadata.packages_distributions()
    return {
        distributions.get(module, [module])[0].lower().replace("_", "-")
        for module in modules - sys.stdlib_module_names - set(PACKAGES)
    }
