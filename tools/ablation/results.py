"""The results of an ablation in a JSON file that grows with every evaluation, so that an interrupted run can go on."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from projects.diffu_base.engine.checkpoint import atomic_write

FILE = "ablation.json"
METRICS = ("AP", "AP50", "AP75")  # of boxes
MASK = "mask "  # comes before the name of a metric of masks


class Results:
    """The content of ``ablation.json`` in a folder. It is empty where there is no such file yet.

    `models` has an entry for each model by its name:
        about: config file, checkpoint, data set and more.
        rows: by its name, an entry for each row:
            overrides, fingerprint: say which setting it is.
            note: why the setting is not possible, if it is not.
            runs: seed -> part of the images -> metric ("AP", ..., of masks "mask AP", ...) -> value.
            flops, latency: of an image, once they have been measured.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.data = json.loads(self.path.read_text()) if self.path.is_file() else {"models": {}}

    @property
    def models(self) -> dict[str, Any]:
        return self.data["models"]

    def model(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        """The entry of a model; an empty one if there is none.

        Raises:
            ValueError: the file has another model of this name.
        """
        entry = self.models.setdefault(name, {"about": about, "rows": {}})
        self._check(f"model {name!r}", entry["about"], about)
        return entry

    def row(self, model: str, name: str, overrides: tuple[str, ...], fingerprint: str) -> dict[str, Any]:
        """The entry of a model's row; one without results if there is none.

        Raises:
            ValueError: the file has another row of this name.
        """
        identity = {"overrides": list(overrides), "fingerprint": fingerprint}
        entry = self.models[model]["rows"].setdefault(name, {**identity, "runs": {}})
        self._check(f"row {name!r} of model {model!r}", {key: entry[key] for key in identity}, identity)
        return entry

    def _check(self, what: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        if different := [key for key in wanted if found.get(key) != wanted[key]]:
            pairs = "; ".join(f"{key} {found.get(key)!r}, now {wanted[key]!r}" for key in different)
            raise ValueError(
                f"{self.path} has results of another {what}: {pairs}. Nothing was overwritten: choose another "
                "--output-dir or another name"
            )

    def save(self) -> None:
        atomic_write(json.dumps(self.data, indent=2) + "\n", str(self.path))


def fingerprint(cfg: DictConfig) -> str:
    """A hash of what a result depends on: the model, the test data, and how the model is evaluated."""
    settings = [cfg.model, cfg.dataloader.test, cfg.dataloader.evaluator, cfg.train.amp, cfg.train.model_ema]
    text = repr([OmegaConf.to_container(each, resolve=True) for each in settings])
    return hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", text).encode()).hexdigest()[:16]


def file_digest(path: str) -> str:
    """The first digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def mean_and_deviation(row: dict[str, Any], part: str, metric: str) -> tuple[float, float | None]:
    """Mean over the seeds and the sample's standard deviation.

    The mean is NaN where nothing was measured; the deviation is None where there is one seed.
    """
    values = [run[part][metric] for run in row["runs"].values() if metric in run.get(part, {})]
    values = [float("nan") if value is None else value for value in values]
    if not values:
        return float("nan"), None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
