"""What a measured comparison looks like to a person, and as plain data."""

from collections.abc import Sequence
from typing import Any

from tools.benchmarking.compare import differences, ratio, summary
from tools.measuring.measure import table

REST = "rest"


def collect(turns: Sequence[dict[str, Any]], finished: dict[str, Any], rate: float, images: int) -> dict[str, Any]:
    """One setting's result as plain data.

    Args:
        turns: of a worker, see `Worker.turn`. finished: see `Worker.finish`.
        rate: multiply-adds per second of the machine. images: per turn.

    Returns:
        `total`: a row; `parts`: a row by name, the last of them what no part has. A row is the `seconds` of each turn,
        their summary, the `products` (multiply-adds) and, where there are any, the `floor` in seconds that these take
        at the machine's rate and `times_floor`, the median over it. Further `images_per_second` and `memory` in bytes.
    """
    rows = {name: _row([t["parts"].get(name, 0.0) for t in turns], 0, rate) for name in turns[0]["parts"]}
    for name, products in finished["products"]["parts"].items():
        rows[name] = _row(rows[name]["seconds"], products, rate)
    rest = [max(0.0, t["total"] - sum(t["parts"].values())) for t in turns]
    rows[REST] = _row(rest, finished["products"]["total"] - sum(finished["products"]["parts"].values()), rate)
    total = _row([t["total"] for t in turns], finished["products"]["total"], rate)
    return {
        "total": total,
        "parts": rows,
        "images_per_second": images / total["median"],
        "memory": finished["memory"],
    }


def _row(seconds: list[float], products: int, rate: float) -> dict[str, Any]:
    row = {"seconds": seconds, **summary(seconds), "products": products}
    if products:
        row["floor"] = products / rate
        row["times_floor"] = row["median"] / row["floor"]
    return row


def contrast(results: dict[str, dict[str, Any]], outputs: dict[str, Any]) -> dict[str, Any]:
    """A against B: ratios of time in total and by part, of peak memory, and what differs in the outputs."""
    a, b = results["A"], results["B"]
    parts = {
        name: ratio(row["seconds"], b["parts"][name]["seconds"])
        for name, row in a["parts"].items()
        if name in b["parts"]
    }
    return {
        "total": ratio(a["total"]["seconds"], b["total"]["seconds"]),
        "parts": parts,
        "memory": a["memory"]["peak"] / max(1, b["memory"]["peak"]),
        "outputs": differences(outputs["A"], outputs["B"]),
    }


def text(measured: dict[str, Any]) -> str:
    """A measured job, as `tools.benchmark.measure` returns it, as tables and sentences."""
    a = measured["results"]["A"]
    lines = [f"== {measured['title']}"]
    lines += [f"{name}: {words}" for name, words in measured["words"].items()]
    lines.append("")
    lines.append(table(_alone(a) if "B" not in measured["results"] else _beside(measured)))
    lines.append("")
    lines += [_memory(name, result) for name, result in measured["results"].items()]
    lines.append(_floor(a["total"], measured["rate"]["best"]))
    if measured["data"] is not None:
        lines.append(f"data: {1e3 * measured['data']:.1f} ms a batch by the config's loader, with nothing beside it")
    lines += [f"note: {note}" for note in measured["notes"]]
    if "contrast" in measured:
        lines += [_memory_ratio(measured), outputs_line(measured["contrast"]["outputs"])]
    return "\n".join(lines)


def _rows(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"total": result["total"], **{f"  {name}": row for name, row in result["parts"].items()}}


def _alone(result: dict[str, Any]) -> list[list[str]]:
    rows = [["part", "median ms", "spread", "G products", "x floor"]]
    return rows + [[name, *_time(row), *_work(row)] for name, row in _rows(result).items()]


def _beside(measured: dict[str, Any]) -> list[list[str]]:
    header = ["part", "A median ms", "spread", "G products", "x floor", "B median ms", "spread", "A/B", "A/B quartiles"]
    rows = [header]
    ratios = {"total": measured["contrast"]["total"]}
    ratios |= {f"  {name}": entry for name, entry in measured["contrast"]["parts"].items()}
    of_a, of_b = (_rows(measured["results"][name]) for name in "AB")
    for name in [*of_a, *(name for name in of_b if name not in of_a)]:
        a = [*_time(of_a[name]), *_work(of_a[name])] if name in of_a else ["-"] * 4
        b = _time(of_b[name]) if name in of_b else ["-"] * 2
        rows.append([name, *a, *b, *_ratio(ratios.get(name))])
    return rows


def _time(row: dict[str, Any]) -> list[str]:
    return [f"{1e3 * row['median']:.1f}", f"{1e3 * row['spread']:.1f}"]


def _work(row: dict[str, Any]) -> list[str]:
    return [f"{row['products'] / 1e9:.2f}", f"{row['times_floor']:.2f}"] if row["products"] else ["-", "-"]


def _ratio(entry: dict[str, Any] | None) -> list[str]:
    if entry is None:
        return ["-", "-"]
    return [f"{entry['ratio']:.3f}", f"{entry['paired']['q25']:.3f} to {entry['paired']['q75']:.3f}"]


def _memory(name: str, result: dict[str, Any]) -> str:
    peak, process, tensors = (result["memory"][key] / 1e6 for key in ("peak", "process", "tensors"))
    return (
        f"{name}: {result['images_per_second']:.3g} images/s, peak memory {peak:,.0f} MB (process {process:,.0f} MB), "
        f"tensors of a turn {tensors:,.0f} MB"
    )


def _memory_ratio(measured: dict[str, Any]) -> str:
    return f"A/B: time {measured['contrast']['total']['ratio']:.3f}, peak memory {measured['contrast']['memory']:.3f}"


def _floor(total: dict[str, Any], rate: float) -> str:
    return (
        f"floor: {total['products'] / 1e9:.1f} G multiply-adds of matrix products at this machine's "
        f"{rate / 1e9:.1f} G/s take {total['floor']:.3f} s; A takes {total['times_floor']:.2f} x of the floor"
    )


def outputs_line(entry: dict[str, Any]) -> str:
    """Whether the first turns computed the same, in a sentence."""
    word = "equal" if entry["equal"] else "NOT EQUAL"
    if "names_of_one_only" in entry:
        return f"losses {word}: only one setting has {', '.join(entry['names_of_one_only'])}"
    if "by_name" in entry:
        return (
            f"losses {word}: greatest difference {entry['max_abs']:.2e}, relative {entry['max_relative']:.2e}, "
            f"of {len(entry['by_name'])} losses"
        )
    unpaired = f"; {entry['unpaired']} without a partner within a pixel" if entry["unpaired"] else ""
    return (
        f"detections {word}: greatest difference of boxes {entry['max_pixels']:.2e} px, of scores "
        f"{entry['max_score']:.2e}, over {entry['detections']} detections{unpaired}"
    )
