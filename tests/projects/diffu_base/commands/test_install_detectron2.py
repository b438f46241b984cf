"""The detectron2 installer: mends, checksum, and the order in which it looks for a detectron2."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from projects.diffu_base.commands import detectron2_mends as mends
from projects.diffu_base.commands import install_detectron2 as installer
from projects.diffu_base.commands.detectron2_mends import InstallError, Mend
from projects.diffu_base.commands.install_detectron2 import Installed


def source_tree(root: Path, **files: str) -> Path:
    """Writes `name="text"` as `name.py` under `root`."""
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    return root


def test_mends_replace_their_text_in_order(tmp_path: Path) -> None:
    root = source_tree(tmp_path, ops="a = old\nb = 2\n")
    mends.apply_mends(root, [Mend("ops.py", "a = old", "a = middle"), Mend("ops.py", "middle", "new")])
    assert (root / "ops.py").read_text() == "a = new\nb = 2\n"


@pytest.mark.parametrize(("text", "count"), [("a = 1\n", 0), ("a = old\nb = old\n", 2)])
def test_mend_whose_text_is_not_there_exactly_once_is_an_error(tmp_path: Path, text: str, count: int) -> None:
    root = source_tree(tmp_path, ops=text)
    with pytest.raises(InstallError, match=rf"ops\.py: expected 'old' exactly once, found it {count} times"):
        mends.apply_mends(root, [Mend("ops.py", "old", "new")])
    assert (root / "ops.py").read_text() == text


def test_mend_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"gone\.py: the file is not in the archive"):
        mends.apply_mends(tmp_path, [Mend("gone.py", "old", "new")])


def test_mended_files_are_python(tmp_path: Path) -> None:
    """A mend that breaks its line would only be noticed by the user who imports that file."""
    for index, mend in enumerate(mends.MENDS):
        if mend.path != "setup.py" and mend.new.endswith("\n"):
            compile(mend.new, f"mend {index}", "exec")
    compile(mends.EXTENSION_SOURCE, mends.EXTENSION_PATH, "exec")


def test_missing_operation_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", ModuleType("detectron2"))
    monkeypatch.delitem(sys.modules, "detectron2._C", raising=False)
    module: dict = {}
    exec(mends.EXTENSION_SOURCE, module)
    with pytest.raises(RuntimeError, match="'nms_rotated' needs its C\\+\\+ extension"):
        module["_C"].nms_rotated()


@pytest.fixture
def local_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The SHA-256 of a made-up source archive `madeup==1.0` that pip finds in a folder, without any network."""
    setup = b"from setuptools import setup\nsetup(name='madeup', version='1.0')\n"
    files = {"setup.py": setup, "PKG-INFO": b"Metadata-Version: 2.1\nName: madeup\nVersion: 1.0\n"}
    index = tmp_path / "index"
    index.mkdir()
    with tarfile.open(index / "madeup-1.0.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"madeup-1.0/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return hashlib.sha256((index / "madeup-1.0.tar.gz").read_bytes()).hexdigest()


def test_download_takes_the_archive_of_the_pinned_checksum(tmp_path: Path, local_archive: str) -> None:
    archive = installer.download("madeup==1.0", local_archive, tmp_path / "download")
    assert archive.name == "madeup-1.0.tar.gz"


def test_download_of_another_checksum_is_an_error(
    tmp_path: Path, local_archive: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InstallError, match="pip download failed"):
        installer.download("madeup==1.0", "0" * 64, tmp_path / "download")
    assert local_archive in capfd.readouterr().err  # pip says what it got
    assert not list((tmp_path / "download").glob("*.tar.gz"))


def test_unreachable_repository_is_noticed(tmp_path: Path) -> None:
    assert not installer.official_reachable(str(tmp_path / "no-repository"), seconds=5)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What the installer would install, in order; nothing is installed."""
    calls: list[tuple] = []
    monkeypatch.setattr(installer, "BUILDERS", {})
    monkeypatch.setattr(installer, "install_official", lambda *options: calls.append(("official", *options)))
    monkeypatch.setattr(installer, "install_archive", lambda *options: calls.append(("archive", *options)))
    return calls


def found(monkeypatch: pytest.MonkeyPatch, *answers: Installed | None) -> None:
    """Lets `find_installed` give these answers, one per call."""
    remaining = iter(answers)
    monkeypatch.setattr(installer, "find_installed", lambda: next(remaining))


def test_installed_detectron2_is_taken(
    monkeypatch: pytest.MonkeyPatch, recorded: list[tuple], capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, Installed("0.7", "/somewhere/detectron2"))
    installer.install()
    assert recorded == []
    assert capsys.readouterr().out == "detectron2 0.7 is already installed in /somewhere/detectron2\n"


@pytest.mark.parametrize(("reachable", "source"), [(True, "official"), (False, "archive")])
def test_official_repository_comes_before_the_archive(
    monkeypatch: pytest.MonkeyPatch, recorded: list[tuple], reachable: bool, source: str
) -> None:
    found(monkeypatch, None, Installed("0.6", "here"))
    monkeypatch.setattr(installer, "official_reachable", lambda: reachable)
    installer.install()
    assert recorded == [(source,)]


def test_archive_follows_an_official_build_that_fails(monkeypatch: pytest.MonkeyPatch, recorded: list[tuple]) -> None:
    def fail(*options: str) -> None:
        raise InstallError("no compiler")

    found(monkeypatch, None, Installed("0.6", "here"))
    monkeypatch.setattr(installer, "official_reachable", lambda: True)
    monkeypatch.setattr(installer, "install_official", fail)
    installer.install()
    assert recorded == [("archive",)]


def test_a_named_source_is_the_only_one(monkeypatch: pytest.MonkeyPatch, recorded: list[tuple]) -> None:
    def fail(*options: str) -> None:
        raise InstallError("no compiler")

    found(monkeypatch, None, Installed("0.6", "here"), None)
    monkeypatch.setattr(installer, "official_reachable", lambda: True)
    installer.install("archive")
    assert recorded == [("archive",)]
    monkeypatch.setattr(installer, "install_official", fail)
    with pytest.raises(InstallError, match="no compiler"):
        installer.install("official")
    assert recorded == [("archive",)]


def test_what_builds_detectron2_must_be_there(
    monkeypatch: pytest.MonkeyPatch, recorded: list[tuple], capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, None)
    builders = {"torch": "torch", "no_such_package.builder": "builder>=3"}
    monkeypatch.setattr(installer, "BUILDERS", builders)
    assert installer.main([]) == 1
    assert recorded == []
    error = capsys.readouterr().err
    assert error.startswith("error: building detectron2 needs builder>=3") and "pip install 'builder>=3'" in error


def test_the_script_of_a_checkout_needs_no_installed_package() -> None:
    script = Path(__file__).resolve().parents[4] / "tools" / "install_detectron2.py"
    done = subprocess.run([sys.executable, "-I", "-S", str(script), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pb1-detectron2" in done.stdout


def test_interrupted_installation_is_written_over(monkeypatch: pytest.MonkeyPatch, recorded: list[tuple]) -> None:
    found(monkeypatch, Installed(error="No module named 'fvcore'"), Installed("0.6", "here"))
    monkeypatch.setattr(installer, "official_reachable", lambda: False)
    installer.install()
    assert recorded == [("archive", "--ignore-installed")]


def test_detectron2_on_the_python_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "detectron2"
    folder.mkdir()
    (folder / "__init__.py").write_text("__version__ = '0.7'\n")
    (folder / "layers.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert installer.find_installed() == Installed("0.7", str(folder))

    (folder / "layers.py").write_text("import no_such_module\n")
    assert installer.find_installed() == Installed(error="ModuleNotFoundError: No module named 'no_such_module'")
