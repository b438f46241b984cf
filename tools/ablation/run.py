"""Measures the rows of one model that the results do not have yet."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import instantiate
from omegaconf import DictConfig

from projects.diffu_base.engine.evaluation import local_path
from tools.ablation.measure import Setting, average_precision, flops_of_first_image, latencies, prepare
from tools.ablation.results import MASK, Results, file_digest, fingerprint
from tools.ablation.rows import Row
from tools.ablation.subsets import WHOLE, EvaluatorByPart, evaluator_by_part
from tools.measuring.measure import describe_environment

Report = Callable[..., None]  # a line of text, and evaluated=True if it tells of an evaluation
Load = Callable[[Sequence[str]], DictConfig]  # overrides of a row -> config


class ModelRun:
    """One model's part of an ablation.

    Args:
        name: the model's in the results.
        load: the config of the model with a row's overrides; its ``train.init_checkpoint`` has the weights.
        rows, seeds: what is asked for.
        results: what there is; saved after every evaluation.
        facts: of the model, for the reader of the results; those found here are added.
        crowded_above: see `evaluator_by_part`.

    Raises:
        ValueError: the results hold another model, or another row, of the same name.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        rows: Sequence[Row],
        seeds: Sequence[int],
        results: Results,
        *,
        facts: dict[str, Any],
        crowded_above: float | None,
    ):
        self.name, self.load, self.results = name, load, results
        cfg = load(())
        self.evaluator: EvaluatorByPart
        self.evaluator, parts = evaluator_by_part(cfg, Path(results.path.parent) / "annotations", crowded_above)
        diffusion = bool(instantiate(cfg.model.sampler).needs_diffusion)
        digest = file_digest(local_path(cfg.train.init_checkpoint))
        self.entry = results.model(name, {**facts, "sha256": digest, "diffusion": diffusion, **parts})
        self.seeds = list(seeds) if diffusion else [None]
        self.rows = {row.name: row for row in rows}
        self.configs = {row.name: self._register(row) for row in rows}

    def _register(self, row: Row) -> DictConfig | None:
        """Make or check a row's entry. Returns its config; None if the row is not possible."""
        try:
            cfg = self.load(row.overrides)
        except ValueError as error:
            self.results.row(self.name, row.name, row.overrides, "")["note"] = _line(error)
            return None
        self.results.row(self.name, row.name, row.overrides, fingerprint(cfg))
        return cfg

    def missing(self, row: str) -> list[int | None]:
        """The seeds that a row has not been evaluated with."""
        entry = self.entry["rows"][row]
        return [] if "note" in entry else [seed for seed in self.seeds if _key(seed) not in entry["runs"]]

    def evaluations(self) -> int:
        """How many evaluations of the test data are to be done."""
        return sum(len(self.missing(row)) for row in self.rows)

    def lack(self, quantity: str) -> bool:
        """Whether a row lacks `latency` or `flops`."""
        entries = [self.entry["rows"][row] for row in self.rows]
        return any("note" not in entry and quantity not in entry for entry in entries)

    def run(self, latency_images: int, report: Report) -> None:
        """Do all that is missing.

        Args:
            latency_images: how many images to time, 0: none.
            report: takes what happens, line by line.

        Raises:
            ValueError: the weights do not fit the model without a row's overrides.
        """
        if not self.evaluations() and not self.lack("flops") and not (latency_images and self.lack("latency")):
            report(f"{self.name}: everything is there already")
            return
        settings = self._prepare(report)
        for row, setting in settings.items():
            entry = self.entry["rows"][row]
            for seed in self.missing(row):
                self._evaluate(row, setting, seed, report)
            if "flops" not in entry:
                entry["flops"] = flops_of_first_image(setting)
                self.results.save()
        if latency_images and self.lack("latency"):
            self._time(settings, latency_images)

    def _prepare(self, report: Report) -> dict[str, Setting]:
        prepare(self.load(()))  # where the model itself does not fit, no row does: an error, not a note for each
        settings = {}
        for row, cfg in self.configs.items():
            entry = self.entry["rows"][row]
            if "note" not in entry:
                try:
                    settings[row] = prepare(cfg)
                except (TypeError, ValueError) as error:
                    # The cause has no advice for those who only evaluate a model.
                    entry["note"] = _line(error.__cause__ or error).replace(cfg.train.init_checkpoint, "the checkpoint")
            if "note" in entry:
                report(f"{self.name}, {row}: not possible: {entry['note']}")
        return settings

    def _evaluate(self, row: str, setting: Setting, seed: int | None, report: Report) -> None:
        title = f"{self.name}, {row}" + ("" if seed is None else f", seed {seed}")
        start = time.monotonic()
        parts = average_precision(setting, seed, self.evaluator, title)
        self.entry["rows"][row]["runs"][_key(seed)] = parts
        self.results.save()
        found = "; ".join(_summary(parts, metric) for metric in ("AP", MASK + "AP") if metric in parts.get(WHOLE, {}))
        report(f"{title}: {found}; {time.monotonic() - start:.0f} s", evaluated=True)

    def _time(self, settings: dict[str, Setting], number: int) -> None:
        for row, seconds in latencies(settings, number, f"{self.name}: latency").items():
            self.entry["rows"][row]["latency"] = float(np.median(seconds))
        cfg = next(iter(settings.values())).cfg
        environment = describe_environment(cfg.train.device)
        self.entry["timed"] = (
            f"{number} images, {environment['device']}, {environment['threads']} threads, torch {environment['torch']}"
        )
        self.results.save()


def _key(seed: int | None) -> str:
    return "none" if seed is None else str(seed)


def _summary(parts: dict[str, dict[str, float | None]], metric: str) -> str:
    values = {part: metrics[metric] for part, metrics in parts.items()}
    return f"{metric} " + ", ".join(f"{part} {'-' if v is None else round(v, 1)}" for part, v in values.items())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
