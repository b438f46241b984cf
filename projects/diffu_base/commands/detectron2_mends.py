"""The changes that detectron2 v0.6 needs to work with today's numpy, Pillow, setuptools and PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class InstallError(RuntimeError):
    """The installation cannot go on; the message is for the user."""


@dataclass(frozen=True)
class Mend:
    """Replaces the one place in ``path`` (relative to the source tree) that reads ``old`` by ``new``."""

    path: str
    old: str
    new: str


# This module replaces the compiled one in the three files of detectron2.layers that use it.
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
    # The build makes a package of the official name, without the extension and without outdated pins.
    Mend("setup.py", 'name="pb1-detectron2"', 'name="detectron2"'),
    Mend("setup.py", "ext_modules=get_extensions()", "ext_modules=[]"),
    Mend("setup.py", '        "black==21.4b2",\n', ""),  # only LazyConfig.to_py uses black
    Mend("setup.py", '"iopath>=0.1.7,<0.1.10"', '"iopath>=0.1.7"'),
    Mend("setup.py", '        "future",  # used by caffe2\n        "pydot",  # used to save caffe2 SVGs\n', ""),
    # np.bool, which many files use, left numpy in 1.24 and came back in 2.0.
    Mend("setup.py", '        "matplotlib",', '        "numpy>=2.0",\n        "matplotlib",'),
    # The archive has the model zoo's configs inside the package already, and setup.py looks for them outside.
    Mend("setup.py", "get_model_zoo_configs()}", '["configs/**/*.yaml", "configs/**/*.py"]}'),
    # These files import the compiled extension, which is not built.
    Mend("detectron2/layers/deform_conv.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend("detectron2/layers/roi_align_rotated.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend("detectron2/layers/rotated_boxes.py", "from detectron2 import _C\n", "from .extension import _C\n"),
    Mend(
        "detectron2/evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        "try:\n    from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
        "except ImportError:\n    COCOeval_opt = COCOeval\n",
    ),
    # Since torch 2.0, torch's schedulers are LRSchedulers but no _LRSchedulers. The hook would not save their state.
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
    """Apply `mends` to the source tree `root`, in order.

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
