"""Make ``import detectron2`` work in the Python that runs this file. Standard library only; needs torch and setuptools.

The first of these that is there is taken:

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
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OFFICIAL_URL = "https://github.com/facebookresearch/detectron2"
PROBE_SECONDS = 10

ARCHIVE = "pb1-detectron2==0.6"
ARCHIVE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
VERSION_SUFFIX = "+pb1"  # a local version (PEP 440): pip list shows that this 0.6 is not the official build


class InstallError(RuntimeError):
    """The installation cannot go on; the message is for the user."""


@dataclass(frozen=True)
class Mend:
    """Replaces the one place in ``path`` (relative to the source tree) that reads ``old`` by ``new``."""

    path: str
    old: str
    new: str


# What stands in for the compiled module in the three files of detectron2.layers that use it.
EXTENSION_PATH = "detectron2/layers/extension.py"
EXTENSION_SOURCE = '''"""The compiled extension ``detectron2._C``, or an object that says which operation lacks it."""

try:
    from detectron2 import _C
except ImportError:

    class _Absent:
        def __getattr__(self, name):
            raise RuntimeError(
                f"detectron2's operation {name!r} needs its C++ extension, and this detectron2 was built without it. "
                "Install the official detectron2 to use it."
            )

    _C = _Absent()
'''

MENDS = (
    # The build: an ordinary package that keeps the official name, without extension and stale pins.
    Mend("setup.py", 'name="pb1-detectron2"', 'name="detectron2"'),
    Mend("setup.py", "ext_modules=get_extensions()", "ext_modules=[]"),
    Mend("setup.py", '        "black==21.4b2",\n', ""),  # only LazyConfig.to_py uses black
    Mend("setup.py", '"iopath>=0.1.7,<0.1.10"', '"iopath>=0.1.7"'),
    Mend("setup.py", '        "future",  # used by caffe2\n        "pydot",  # used to save caffe2 SVGs\n', ""),
    # np.bool, which many files use, left numpy in 1.24 and came back in 2.0.
    Mend("setup.py", '        "matplotlib",', '        "numpy>=2.0",\n        "matplotlib",'),
    # The archive has the model zoo's configs inside the package already, and setup.py looks for them outside.
    Mend("setup.py", "get_model_zoo_configs()}", '["configs/**/*.yaml", "configs/**/*.py"]}'),
    # The extension is absent.
    Mend("detectron2/layers/deform_conv.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend("detectron2/layers/roi_align_rotated.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend("detectron2/layers/rotated_boxes.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend(
        "detectron2/evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        "try:\n    from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
        "except ImportError:\n    COCOeval_opt = COCOeval\n",
    ),
    # torch 2.0 made _LRScheduler a subclass of LRScheduler: the hook would not save torch's own schedulers' state.
    Mend("detectron2/engine/hooks.py", "_LRScheduler):\n            return", "LRScheduler):\n            return"),
    Mend("detectron2/engine/hooks.py", "_LRScheduler):\n            logger", "LRScheduler):\n            logger"),
    # torch no longer carries caffe2, and detectron2.utils.analysis needs another part of this package.
    Mend(
        "detectron2/export/__init__.py",
        "from .api import *\n",
        "try:\n    from .api import *\nexcept ImportError:\n    pass\n",
    ),
    # setuptools 82 dropped pkg_resources.
    Mend("detectron2/model_zoo/model_zoo.py", "import pkg_resources\n", "from importlib.resources import files\n"),
    Mend(
        "detectron2/model_zoo/model_zoo.py",
        'pkg_resources.resource_filename(\n        "detectron2.model_zoo", os.path.join("configs", config_path)\n    )',
        'str(files("detectron2.model_zoo").joinpath("configs", config_path))',
    ),
    # Pillow 10 dropped Image.LINEAR, another name of BILINEAR.
    Mend("detectron2/data/transforms/transform.py", "interp=Image.LINEAR", "interp=Image.BILINEAR"),
    # numpy 1.24 dropped np.int, np.float and np.str; in numpy 2, copy=False forbids a copy.
    Mend("detectron2/data/build.py", "(num_classes,), dtype=np.int)", "(num_classes,), dtype=int)"),
    Mend("detectron2/data/build.py", '("iscrowd", 0)], dtype=np.int', '("iscrowd", 0)], dtype=int'),
    Mend("detectron2/layers/mask_ops.py", "np.array(mask, copy=False)", "np.asarray(mask)"),
    Mend("detectron2/data/datasets/pascal_voc.py", "dtype=np.str)", "dtype=str)"),
    Mend("detectron2/evaluation/sem_seg_evaluation.py", "(output, dtype=np.int)", "(output, dtype=int)"),
    Mend("detectron2/evaluation/sem_seg_evaluation.py", "Image.open(f), dtype=np.int)", "Image.open(f), dtype=int)"),
    Mend(
        "detectron2/evaluation/sem_seg_evaluation.py",
        "acc = np.full(self._num_classes, np.nan, dtype=np.float)",
        "acc = np.full(self._num_classes, np.nan, dtype=float)",
    ),
    Mend(
        "detectron2/evaluation/sem_seg_evaluation.py",
        "iou = np.full(self._num_classes, np.nan, dtype=np.float)",
        "iou = np.full(self._num_classes, np.nan, dtype=float)",
    ),
    Mend(
        "detectron2/evaluation/sem_seg_evaluation.py",
        "diagonal()[:-1].astype(np.float)",
        "diagonal()[:-1].astype(float)",
    ),
    Mend("detectron2/evaluation/sem_seg_evaluation.py", "axis=0).astype(np.float)", "axis=0).astype(float)"),
    Mend("detectron2/evaluation/sem_seg_evaluation.py", "axis=1).astype(np.float)", "axis=1).astype(float)"),
)


def apply_mends(root: Path, mends: Iterable[Mend] = MENDS) -> None:
    """Applies ``mends`` to the source tree ``root``, in order.

    Raises:
        InstallError: if a file is missing or does not hold a mend's text exactly once.
    """
    for mend in mends:
        path = root / mend.path
        if not path.is_file():
            raise InstallError(f"cannot mend {mend.path}: the file is not in the archive")
        text = path.read_text(encoding="utf-8")
        count = text.count(mend.old)
        if count != 1:
            raise InstallError(f"cannot mend {mend.path}: expected {mend.old!r} exactly once, found it {count} times")
        path.write_text(text.replace(mend.old, mend.new), encoding="utf-8")


def pip(*arguments: str, **environment: str) -> None:
    """Runs this Python's pip, quietly. Raises InstallError where it fails; pip's own message is on the terminal."""
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
    """Imports detectron2 in a fresh process of this Python. None where there is no detectron2 to import."""
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
    # pip reads an archive's metadata by running its setup.py: it imports torch, so no isolated build environment.
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
        # By name rather than by path: pip freeze then shows a version, not a temporary file.
        version = wheel.name.split("-")[1]
        pip("install", *options, "--find-links", str(wheel.parent), f"detectron2=={version}")


def main() -> None:
    """Takes the first of the three sources that is there and says which."""
    installed = find_installed()
    if installed and not installed.error:
        print(f"detectron2 {installed.version} is already installed in {installed.folder}")
        return
    options = []
    if installed:
        # An interrupted installation. pip cannot uninstall it, so it is written over.
        print(f"detectron2 is installed but cannot be imported ({installed.error}): installing it anew")
        options = ["--ignore-installed"]

    if official_reachable():
        print(f"Installing detectron2 from {OFFICIAL_URL} (compiles its extension, some minutes) ...", flush=True)
        try:
            install_official(*options)
        except InstallError as error:
            print(f"The official detectron2 did not build here ({error}); taking {ARCHIVE} from PyPI instead")
            install_archive(*options)
    else:
        print(f"{OFFICIAL_URL} is not in reach: installing detectron2 from PyPI's {ARCHIVE} ...", flush=True)
        install_archive(*options)

    installed = find_installed()
    if installed is None or installed.error:
        raise InstallError(f"detectron2 was installed but cannot be imported: {installed and installed.error}")
    print(f"detectron2 {installed.version} is installed in {installed.folder}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        main()
    except InstallError as error:
        sys.exit(f"{Path(__file__).name}: {error}")
