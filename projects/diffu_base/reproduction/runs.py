"""Which rows of a table have weights in a folder, and the evaluations that they need."""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from projects.diffu_base.config.files import get_config
from projects.diffu_base.config.overrides import quoted

from .tables import Row, Table

SUFFIXES = (".pth", ".safetensors", ".pkl")
OF_A_RUN = ("model_final.pth", "model_best.pth")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a row.

    Attributes:
        row: what is evaluated.
        seed: of the noise; None for a model without noise.
        checkpoint: the weights.
        folder: where ``results.json`` is or will be.
    """

    row: Row
    seed: int | None
    checkpoint: Path
    folder: Path

    def overrides(self) -> list[str]:
        """The settings of its config."""
        noise = [] if self.seed is None else [f"model.sampler.seed={self.seed}"]
        paths = {"train.init_checkpoint": self.checkpoint, "train.output_dir": self.folder}
        return [*self.row.overrides, *noise, *(f"{key}={quoted(str(path))}" for key, path in paths.items())]

    def results(self) -> dict[str, Any] | None:
        """task -> metric -> value, if these weights have been evaluated here."""
        file = self.folder / "results.json"
        if not file.is_file():
            return None
        content = json.loads(file.read_text(encoding="utf-8"))
        return content["results"] if content.get("checkpoint") == str(self.checkpoint) else None


def run_name(config: str) -> str:
    """The folder of a config's run, relative to the folder of all runs: its ``train.output_dir`` without ./output."""
    return _facts(config).run


class _Facts(NamedTuple):
    """What a config says of its run, and whether its model draws noise."""

    run: str
    has_noise: bool


@functools.cache  # reading a config takes a while, and several rows and messages ask for the same
def _facts(config: str) -> _Facts:
    cfg = get_config(config)
    run = Path(cfg.train.output_dir).as_posix().removeprefix("output/")
    return _Facts(run, cfg.model.get("diffusion") is not None)


def find_checkpoint(folder: Path, config: str) -> Path | None:
    """The weights of a config's run in `folder`: ``RUN.pth`` (or .safetensors, .pkl) or ``RUN/model_final.pth``."""
    run = folder / run_name(config)
    candidates = [*(run.with_name(run.name + suffix) for suffix in SUFFIXES), *(run / name for name in OF_A_RUN)]
    return next((file for file in candidates if file.is_file()), None)


def plan(table: Table, folder: Path, output: Path, seeds: Sequence[int]) -> Iterator[tuple[Row, list[Evaluation]]]:
    """Every row with its evaluations, of which there are none if its weights are not in `folder`.

    Args:
        folder: of checkpoints or runs.
        output: of the evaluations' results.
        seeds: of the noise, for models that have noise.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is no folder; name one of checkpoints or runs")
    for row in table.rows:
        checkpoint = find_checkpoint(folder, row.trained)
        if checkpoint is None:
            yield row, []
            continue
        place = output / row.label.replace("/", "-")
        chosen: list[int | None] = list(seeds) if _facts(row.config).has_noise else [None]
        yield row, [Evaluation(row, seed, checkpoint, place / f"seed_{seed}") for seed in chosen]
