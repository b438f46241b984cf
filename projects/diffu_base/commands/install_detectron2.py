"""Makes `import detectron2` work in the Python that runs this command, where torch and setuptools must be installed.

It takes the first of these that is available:

1. the detectron2 that is already installed, whichever it is;
2. the official repository, built with its C++ extension;
3. the source archive of version 0.6 that PyPI carries as ``pb1-detectron2``. It is fetched by pip with its checksum
   pinned, mended for today's numpy, Pillow and setuptools, and built without the C++ extension into an ordinary wheel
   of distribution ``detectron2``, version ``0.6+pb1``. pip installs that wheel and can remove it.

Without the extension, detectron2's deformable convolution and its operations on rotated boxes raise a RuntimeError when
they are called, and COCO evaluation runs in pycocotools. This project uses none of the extension's operations.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# This file imports only the standard library, because it runs before anything is installed.
from .detectron2_mends import EXTENSION_PATH, EXTENSION_SOURCE, InstallError, apply_mends

OFFICIAL_URL = "https://github.com/facebookresearch/detectron2"
PROBE_SECONDS = 10

ARCHIVE = "pb1-detectron2==0.6"
ARCHIVE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
SOURCES = ("any", "official", "archive")
# The packages that building detectron2 needs: name of a module -> requirement for pip.
BUILDERS = {"torch": "torch", "setuptools.command.bdist_wheel": "setuptools>=70.1"}
VERSION_SUFFIX = "+pb1"  # a local version (PEP 440): pip list shows that this 0.6 is not the official build


def pip(*arguments: str, **environment: str) -> None:
    """Runs this Python's pip, quietly. Raises InstallError if pip fails; pip itself prints the reason."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet"]
    if subprocess.run(command, env={**os.environ, **environment}).returncode:
        raise InstallError(f"pip {arguments[0]} failed, see its message above")


@dataclass(frozen=True)
class Installed:
    """What ``import detectron2`` finds: the version and folder, or the reason why it fails."""

    version: str = ""
    folder: str = ""
    error: str = ""


def find_installed() -> Installed | None:
    """Imports detectron2 in a fresh process of this Python. None if there is no detectron2."""
    script = (
        "import importlib.util as util, sys\n"
        "spec = util.find_spec('detectron2')\n"
        "if spec is None or spec.origin is None: sys.exit(3)\n"  # no package, or an empty folder of that name
        "import detectron2, detectron2.layers\n"
        "print(detectron2.__version__, detectron2.__path__[0], sep='\\n')"
    )
    # -P: a folder named detectron2 in the working directory does not count.
    result = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    if result.returncode == 3:
        return None
    if result.returncode:
        return Installed(error=(result.stderr.strip().splitlines() or ["no message"])[-1])
    version, folder = result.stdout.strip().splitlines()[-2:]
    return Installed(version, folder)


def official_reachable(url: str = OFFICIAL_URL, seconds: float = PROBE_SECONDS) -> bool:
    """Whether git reaches the official repository within ``seconds``, without asking for a password."""
    try:
        command = ["git", "ls-remote", "--exit-code", url, "HEAD"]
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        return subprocess.run(command, env=environment, capture_output=True, timeout=seconds).returncode == 0
    except (OSError, subprocess.TimeoutExpired):  # no git, or no answer
        return False


def install_official(*options: str) -> None:
    """Builds and installs the official repository's main branch with its C++ extension."""
    pip("install", "--no-build-isolation", *options, f"detectron2 @ git+{OFFICIAL_URL}")


def download(requirement: str, sha256: str, folder: Path) -> Path:
    """Fetches the source archive of ``requirement`` into ``folder`` by pip, which honours the user's index, proxies and
    certificates, and checks ``sha256`` before anything of the archive runs.

    Raises:
        InstallError: if the archive cannot be fetched or its checksum differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "requirement.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    name = re.split(r"[=<>]", requirement)[0]
    # To read an archive's metadata, pip runs its setup.py. That imports torch, which an isolated build environment
    # lacks.
    pip(
        "download",
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        name,
        "--require-hashes",
        "--requirement",
        str(pinned),
        "--dest",
        str(folder),
    )
    (archive,) = folder.glob("*.tar.gz")
    return archive


def install_archive(*options: str) -> None:
    """Fetches, mends, builds and installs PyPI's source archive of version 0.6."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = download(ARCHIVE, ARCHIVE_SHA256, folder / "download")
        shutil.unpack_archive(archive, folder / "source")
        (root,) = (folder / "source").iterdir()
        apply_mends(root)
        (root / EXTENSION_PATH).write_text(EXTENSION_SOURCE, encoding="utf-8")
        pip(
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(folder / "wheel"),
            str(root),
            D2_VERSION_SUFFIX=VERSION_SUFFIX,
        )
        (wheel,) = (folder / "wheel").glob("detectron2-*.whl")
        # pip gets the name instead of the path, so that pip freeze shows a version and not a temporary file.
        version = wheel.name.split("-")[1]
        pip("install", *options, "--find-links", str(wheel.parent), f"detectron2=={version}")


def require_builders() -> None:
    """Check that the packages that detectron2's setup.py imports are installed.

    Raises:
        InstallError: a package is missing; the message names it.
    """
    missing = [requirement for module, requirement in BUILDERS.items() if not _importable(module)]
    if missing:
        command = shlex.join([Path(sys.executable).name, "-m", "pip", "install", *missing])
        raise InstallError(f"building detectron2 needs {' and '.join(missing)} in this Python; run: {command}")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the module's own package is missing
        return False


def install(source: str = "any") -> None:
    """Install detectron2 from the first source that is available, and print which one it is.

    Args:
        source: `official` or `archive` allows that source alone. An installed detectron2 is kept in any case.

    Raises:
        InstallError: it cannot be installed.
    """
    installed = find_installed()
    if installed and not installed.error:
        print(f"detectron2 {installed.version} is already installed in {installed.folder}")
        return
    require_builders()
    options = []
    if installed:
        # This is what an interrupted installation left. pip cannot uninstall it, so the new installation overwrites it.
        print(f"detectron2 is installed but cannot be imported ({installed.error}): installing it anew")
        options = ["--ignore-installed"]

    install_from(source, *options)
    installed = find_installed()
    if installed is None or installed.error:
        raise InstallError(f"detectron2 was installed but cannot be imported: {installed and installed.error}")
    print(f"detectron2 {installed.version} is installed in {installed.folder}")


def install_from(source: str, *options: str) -> None:
    """Install from one of `SOURCES`; `any` tries the official repository and then the archive."""
    if source == "archive" or (source == "any" and not official_reachable()):
        if source == "any":
            print(f"{OFFICIAL_URL} is not in reach")
        print(f"Installing detectron2 from PyPI's {ARCHIVE} ...", flush=True)
        install_archive(*options)
        return
    print(f"Installing detectron2 from {OFFICIAL_URL} (compiles its extension, some minutes) ...", flush=True)
    try:
        install_official(*options)
    except InstallError as error:
        if source == "official":
            raise
        print(f"The official detectron2 did not build here ({error}); taking {ARCHIVE} from PyPI instead")
        install_archive(*options)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--source", choices=SOURCES, default="any", help="where a missing detectron2 comes from, default any"
    )


def run(args: argparse.Namespace) -> int:
    """Install; returns the exit status."""
    try:
        install(args.source)
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    return run(parser.parse_args(arguments))
