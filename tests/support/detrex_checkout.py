"""Where detrex is: importing this skips a test module where detrex cannot be imported.

`DETREX_ROOT` names its checkout, built in place (docs/detrex.md). Without the variable, the checkout is the one that an
editable installation points to: detrex's `projects` and `tools` are no part of what it installs.
"""

import os
import sys
from pathlib import Path

import pytest
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from detectron2.layers import ShapeSpec
from omegaconf import DictConfig

from tests.support.golden import TinyBackbone

ROOT = os.environ.get("DETREX_ROOT")
if ROOT:
    sys.path.append(ROOT)
try:
    import detrex.modeling
    from detrex import _C  # noqa: F401 (without it detrex's attention is a dummy)
except ImportError as error:
    if ROOT:
        raise  # who names a checkout wants it tested
    pytest.skip(f"detrex cannot be imported ({error}); see docs/detrex.md", allow_module_level=True)
CHECKOUT = Path(ROOT or Path(detrex.__file__).parents[1])
if not (CHECKOUT / "projects" / "dino" / "configs").is_dir():
    pytest.skip(f"no projects in {CHECKOUT}: DETREX_ROOT must name detrex's checkout", allow_module_level=True)
if str(CHECKOUT) not in sys.path:
    sys.path.append(str(CHECKOUT))


def tiny_detrex_config(project: str, model: str) -> DictConfig:
    """The model `model` of detrex's `project`, in the sizes of `tests.support.tiny_models`, on the CPU."""
    config = LazyConfig.load(str(CHECKOUT / "projects" / project / "configs" / "models" / f"{model}.py")).model
    config.device = "cpu"
    config.backbone = L(TinyBackbone)()
    config.neck.input_shapes = {name: ShapeSpec(channels=c) for name, c in (("res3", 16), ("res4", 24), ("res5", 32))}
    config.transformer.encoder.update(num_layers=1, feedforward_dim=64)
    config.transformer.decoder.update(num_layers=2, feedforward_dim=64)
    config.update(num_queries=30, num_classes=7, select_box_nums_for_evaluation=100)
    return config
