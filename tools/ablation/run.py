"""Measures the rows of one model that the results do not have yet."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import instantiate
from omegaconf import DictConfig

from projects.diffu_base.engine.weight_files import local_path
from tools.ablation.measure import PreparedRow, average_precision, flops_of_first_image, latencies, prepare
from tools.ablation.results import MASK, Results, file_digest, fingerprint
from tools.ablation.rows import Row
from tools.ablation.subsets import WHOLE, evaluator_by_part
from tools.measuring.measure import describe_environment

Report = Callable[..., None]  # takes a line of text; evaluated=True if the line is about an evaluation
Load = Callable[[Sequence[str]], DictConfig]  # overrides of a row -> config


class ModelRun:
    """One model's part of an ablation.

    Args:
        name: what the results call the model.
        load: gives the config of the model with a row's overrides; its ``train.init_checkpoint`` has the weights.
        rows, seeds: what is asked for.
        results: what has been measured before; they are saved after every evaluation.
        facts: further facts about the model, which the results shall state.
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
    ) -> None:
        self.name, self.load, self.results = name, load, results
        cfg = load(())
        self.evaluator, parts = evaluator_by_part(cfg, Path(results.path.parent) / "annotations", crowded_above)
        diffusion = bool(instantiate(cfg.model.sampler).needs_diffusion)
        digest = file_digest(local_path(cfg.train.init_checkpoint))
        self.entry = results.model(name, {**facts, "sha256": digest, "diffusion": diffusion, **parts})
        self.seeds: list[int | None] = [*seeds] if diffusion else [None]
        self.rows = [row.name for row in rows]
        self.configs: dict[str, DictConfig] = {}  # of the rows that are possible
        for row in rows:
            self._register(row)

    def _register(self, row: Row) -> None:
        """Make the entry of a row, or check the one that is there; note where a row is not possible."""
        try:
            cfg = self.load(row.overrides)
        except ValueError as error:
            self.results.row(self.name, row.name, row.overrides, "")["note"] = _line(error)
            return
        self.results.row(self.name, row.name, row.overrides, fingerprint(cfg))
        self.configs[row.name] = cfg

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
        """Measure everything that the results lack.

        Args:
            latency_images: how many images to time, 0: none.
            report: takes what happens, line by line.

        Raises:
            ValueError: the weights do not fit the model without a row's overrides.
        """
        if not self.evaluations() and not self.lack("flops") and not (latency_images and self.lack("latency")):
            report(f"{self.name}: everything is there already")
            return
        prepared = self._prepare(report)
        for name, row in prepared.items():
            entry = self.entry["rows"][name]
            for seed in self.missing(name):
                self._evaluate(name, row, seed, report)
            if "flops" not in entry:
                entry["flops"] = flops_of_first_image(row)
                self.results.save()
        if latency_images and self.lack("latency"):
            self._time(prepared, latency_images)

    def _prepare(self, report: Report) -> dict[str, PreparedRow]:
        # Weights that do not fit the model's own config fit no row: that is an error, and not a note at each row.
        prepare(self.load(()))
        prepared = {}
        for name, cfg in self.configs.items():
            entry = self.entry["rows"][name]
            if "note" not in entry:
                try:
                    prepared[name] = prepare(cfg)
                except (TypeError, ValueError) as error:
                    # The note has the error's cause, since the error itself adds advice that does not help here.
                    entry["note"] = _line(error.__cause__ or error).replace(cfg.train.init_checkpoint, "the checkpoint")
        for name in self.rows:
            if "note" in self.entry["rows"][name]:
                report(f"{self.name}, {name}: not possible: {self.entry['rows'][name]['note']}")
        return prepared

    def _evaluate(self, name: str, row: PreparedRow, seed: int | None, report: Report) -> None:
        title = f"{self.name}, {name}" + ("" if seed is None else f", seed {seed}")
        start = time.monotonic()
        parts = average_precision(row, seed, self.evaluator, title)
        self.entry["rows"][name]["runs"][_key(seed)] = parts
        self.results.save()
        found = "; ".join(_summary(parts, metric) for metric in ("AP", MASK + "AP") if metric in parts.get(WHOLE, {}))
        report(f"{title}: {found}; {time.monotonic() - start:.0f} s", evaluated=True)

    def _time(self, prepared: dict[str, PreparedRow], number: int) -> None:
        for name, seconds in latencies(prepared, number, f"{self.name}: latency").items():
            self.entry["rows"][name]["latency"] = float(np.median(seconds))
        cfg = next(iter(prepared.values())).cfg
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


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
