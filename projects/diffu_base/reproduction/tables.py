"""The papers' tables as data: which config each row is, and what the paper measured on the validation set."""

from collections.abc import Mapping
from dataclasses import dataclass, field

AP = "AP"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: what the row is called.
        config: the name of its config.
        published: the paper's figures, metric -> value; empty where the paper has none.
        weights: the config whose training gives the weights; empty: `config` itself.
        overrides: settings of the row's evaluation.
    """

    label: str
    config: str
    published: Mapping[str, float] = field(default_factory=dict)
    weights: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def trained(self) -> str:
        """The name of the config whose training gives the weights."""
        return self.weights or self.config


@dataclass(frozen=True)
class Table:
    """A table of a paper: its title, the task of its figures (`bbox` or `segm`), its metrics and its rows."""

    title: str
    task: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


_DINO = "diffu_dino/dino-resnet"
_SWIN = "diffu_dino/dino-swin"
_ALIGN = "diffu_align_detr"
_MAIN = f"{_DINO}/coco-r50-4scales-50ep"
_ABLATIONS = "diffu_dino/ablations"
_INST = "diffusion_inst"
_LVIS_METRICS = (AP, "APr", "APc", "APf")


def _lvis(label: str, config: str, *figures: float) -> Row:
    return Row(label, f"{_DINO}/{config}", dict(zip(_LVIS_METRICS, figures, strict=True)))


def _ablation(label: str, name: str, ap: float, *, trains: bool = True) -> Row:
    return Row(label, f"{_ABLATIONS}/{name}", {AP: ap}, weights="" if trains else _MAIN)


def _steps(label: str, name: str, one: float, four: float | None = None) -> tuple[Row, ...]:
    """The rows of a DiffusionInst with one step and, where the paper has it, with four."""
    config = f"{_INST}/{name}"
    rows = (Row(f"{label}, 1 step", config, {AP: one}, overrides=("model.sampler.num_steps=1",)),)
    if four is None:
        return rows
    return (*rows, Row(f"{label}, 4 steps", config, {AP: four}, overrides=("model.sampler.num_steps=4",)))


TABLES = {
    "coco": Table(
        "COCO 2017",
        "bbox",
        (AP,),
        (
            Row("Deformable DETR, R50, 50 epochs", "diffu_detr/baseline-deformable-detr-r50-4scales-50ep", {AP: 48.2}),
            Row("DiffuDETR, R50, 50 epochs", "diffu_detr/coco-r50-4scales-50ep", {AP: 50.2}),
            Row("Align-DETR, R50, 24 epochs", f"{_ALIGN}/baseline-aligndetr-r50-4scales-24ep", {AP: 51.4}),
            Row("DiffuAlignDETR, R50, 24 epochs", f"{_ALIGN}/coco-r50-4scales-24ep", {AP: 51.9}),
            Row("DINO, R50, 36 epochs", f"{_DINO}/baseline-dino-r50-4scales-36ep", {AP: 50.9}),
            Row("DINO, R50, 12 epochs", f"{_DINO}/baseline-dino-r50-4scales-12ep"),
            Row("DINO, R50, 50 epochs", f"{_DINO}/baseline-dino-r50-4scales-50ep"),
            Row("DiffuDINO, R50, 50 epochs", _MAIN, {AP: 51.9}),
            Row("Align-DETR, R101, 12 epochs", f"{_ALIGN}/baseline-aligndetr-r101-4scales-12ep", {AP: 51.2}),
            Row("DiffuAlignDETR, R101, 12 epochs", f"{_ALIGN}/coco-r101-4scales-12ep", {AP: 51.7}),
            Row("DINO, R101, 12 epochs", f"{_DINO}/baseline-dino-r101-4scales-12ep", {AP: 50.0}),
            Row("DiffuDINO, R101, 12 epochs", f"{_DINO}/coco-r101-4scales-12ep", {AP: 51.2}),
        ),
    ),
    "lvis": Table(
        "LVIS v1",
        "bbox",
        _LVIS_METRICS,
        (
            _lvis("DINO, R50, 12 epochs", "baseline-dino-lvis-r50-4scales-12ep", 26.5, 9.2, 24.6, 36.2),
            _lvis("DiffuDINO, R50, 12 epochs", "lvis-r50-4scales-12ep", 28.9, 13.7, 27.6, 36.9),
            _lvis("DINO, R101, 12 epochs", "baseline-dino-lvis-r101-4scales-12ep", 30.9, 13.9, 29.7, 39.7),
            _lvis("DiffuDINO, R101, 12 epochs", "lvis-r101-4scales-12ep", 32.5, 13.5, 32.0, 41.5),
        ),
    ),
    "v3det": Table(
        "V3Det",
        "bbox",
        (AP,),
        (
            Row("DINO, R50, 24 epochs", f"{_DINO}/baseline-dino-v3det-r50-4scales-24ep", {AP: 33.5}),
            Row("DiffuDINO, R50, 24 epochs", f"{_DINO}/v3det-r50-4scales-24ep", {AP: 35.7}),
            Row("DINO, Swin-B, 24 epochs", f"{_SWIN}/baseline-dino-v3det-swin-4scales-24ep", {AP: 42.0}),
            Row("DiffuDINO, Swin-B, 24 epochs", f"{_SWIN}/v3det-swin-4scales-24ep", {AP: 50.3}),
        ),
    ),
    "ablations": Table(
        "Ablations of DiffuDINO, R50, 50 epochs, COCO 2017",
        "bbox",
        (AP,),
        (
            Row("the 50-epoch run: Gaussian noise, cosine schedule, 3 evaluations", _MAIN, {AP: 51.9}),
            _ablation("noise: sigmoid", "noise-sigmoid", 50.4),
            _ablation("noise: Beta", "noise-beta", 49.5),
            _ablation("schedule: linear", "schedule-linear", 51.6),
            _ablation("schedule: sqrt", "schedule-sqrt", 51.4),
            _ablation("decoder evaluations: 1", "evaluations-1", 51.6, trains=False),
            _ablation("decoder evaluations: 5", "evaluations-5", 51.8, trains=False),
            _ablation("decoder evaluations: 10", "evaluations-10", 51.4, trains=False),
        ),
    ),
    "diffusion_inst": Table(
        "DiffusionInst, masks",
        "segm",
        (AP,),
        (
            *_steps("COCO, R50, 90,000 iterations", "coco-r50-1x", 30.4),
            *_steps("COCO, R50, 270,000 iterations", "coco-r50-3x", 35.6),
            *_steps("COCO, R50, 450,000 iterations", "coco-r50-5x", 37.3, 37.5),
            *_steps("COCO, R101, 450,000 iterations", "coco-r101-5x", 41.0, 41.1),
            *_steps("COCO, Swin-B, 450,000 iterations", "coco-swinb-5x", 46.6, 46.8),
            *_steps("COCO, Swin-L, 450,000 iterations", "coco-swinl-5x", 47.8, 47.8),
            *_steps("LVIS, R50, 270,000 iterations", "lvis-r50-3x", 22.3),
            *_steps("LVIS, R101, 270,000 iterations", "lvis-r101-3x", 27.0),
            *_steps("LVIS, Swin-B, 270,000 iterations", "lvis-swinb-3x", 36.0),
        ),
    ),
}
