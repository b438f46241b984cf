"""Prints a measurement as text, and tells whether two variants computed the same."""

from typing import Any

import numpy as np

from tools.benchmarking.runs import Outputs
from tools.measuring.measure import table

EQUAL_DETECTIONS, EQUAL_LOSSES = 1e-3, 1e-4  # of pixels and scores; of losses, relative
SAME_DETECTION = 1.0  # detections that are farther apart, in pixels, are two objects
Measured = dict[str, Any]  # of a variant: `turns`: seconds by part of each; `outputs`; and what `runs.finish` returns


def text(measured: dict[str, Measured], images: int) -> str:
    """The numbers of variant A and perhaps B as a table and sentences; a turn has this number of images."""
    lines = ["", table(rows(**measured)), ""]
    for name, variant in measured.items():
        rate, peak, tensors = images / np.median(seconds(variant, "total")), variant["peak"], variant["tensors"]
        lines.append(
            f"{name}: {rate:.3g} images/s, peak memory {peak / 1e6:,.0f} MB, tensors of a turn {tensors / 1e6:,.0f} MB"
        )
    products, rate = measured["A"]["products"]["total"], measured["A"]["rate"]
    lines.append(
        f"floor: A's products of matrices are {products / 1e9:.1f} G multiply-adds, which take "
        f"{1e3 * products / rate:.1f} ms at this machine's {rate / 1e9:.1f} G/s"
    )
    if "B" in measured:
        lines.append(difference(measured["A"]["outputs"], measured["B"]["outputs"]))
    return "\n".join(lines)


def rows(A: Measured, B: Measured | None = None) -> list[list[str]]:
    """A header, and for each part its time (median, distance of the quartiles) and A's products.

    A/B is the median over pairs of turns that followed each other.
    """
    lines = [["part", "ms", "spread", "G products", "x floor", *(["B ms", "spread", "A/B"] if B else [])]]
    for part in {**A["turns"][0], **(B["turns"][0] if B else {})}:
        a, products = seconds(A, part), A["products"].get(part, 0)
        work = [f"{products / 1e9:.2f}", f"{np.median(a) * A['rate'] / products:.2f}"] if products else ["-", "-"]
        lines.append([part, *_time(a), *work])
        if B:
            b = seconds(B, part)
            lines[-1] += [*_time(b), f"{np.median(a / b):.3f}" if a.all() and b.all() else "-"]
    return lines


def seconds(variant: Measured, part: str) -> np.ndarray:
    """The seconds of `part` in each turn; 0 if the variant has no such part."""
    return np.array([turn.get(part, 0.0) for turn in variant["turns"]])


def _time(values: np.ndarray) -> list[str]:
    low, median, high = 1e3 * np.percentile(values, (25, 50, 75))
    return [f"{median:.1f}", f"{high - low:.1f}"]


def difference(a: Outputs, b: Outputs) -> str:
    """How far the losses or the detections of two turns are apart."""
    if isinstance(a, dict) and isinstance(b, dict):
        worst = max((abs(a[name] - b[name]) / max(abs(a[name]), 1e-12) for name in a.keys() & b.keys()), default=np.inf)
        equal = _word(a.keys() == b.keys() and worst <= EQUAL_LOSSES)
        others = f"; only one variant has {', '.join(sorted(a.keys() ^ b.keys()))}" if a.keys() != b.keys() else ""
        return f"losses {equal}: they differ by up to {worst:.2e} of their values{others}"
    apart = np.concatenate([_distances(*map(np.array, images)) for images in zip(a, b, strict=True)])
    alone = apart > SAME_DETECTION
    worst = max(apart[~alone], default=0.0)
    equal = _word(not alone.any() and worst <= EQUAL_DETECTIONS)
    return (
        f"detections {equal}: boxes (in pixels) and scores differ by up to {worst:.2e}; {alone.sum()} have no partner"
    )


def _word(equal: bool) -> str:
    return "equal" if equal else "NOT EQUAL"


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each detection (x0, y0, x1, y1, score, class) of both variants, the distance to the nearest of the other.

    Their order is free, since nearly equal scores change places. Detections of two classes are infinitely far apart.
    """
    a, b = a.reshape(-1, 6), b.reshape(-1, 6)
    apart = np.abs(a[:, None, :5] - b[None, :, :5]).max(-1)
    apart[a[:, None, 5] != b[None, :, 5]] = np.inf
    return np.concatenate([apart.min(1, initial=np.inf), apart.min(0, initial=np.inf)])
