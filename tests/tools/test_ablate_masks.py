"""tools/ablate.py on a tiny model with masks: mask AP beside box AP, in the results, the table and the plot."""

import pytest

import tools.ablation.run
from tests.tools.ablation_case import CONFIG_WITH_MASKS, Case
from tools.ablation.results import mean_and_deviation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("ablation"), CONFIG_WITH_MASKS)


@pytest.fixture(scope="module")
def measured(case, tmp_path_factory):
    """Folder and results of 1 and 4 evaluations and two seeds."""
    folder = tmp_path_factory.mktemp("measured")
    return folder, case.run(folder, "--seeds", "0", "1", "--evaluations", "1", "4")


def test_mask_ap_stands_beside_box_ap(case, measured):
    rows = measured[1]["rows"]
    assert list(rows) == ["1 evaluation", "4 evaluations"]
    for name, steps, seed in (("1 evaluation", 1, 0), ("4 evaluations", 4, 1)):
        expected = case.evaluate(f"model.sampler.num_steps={steps}", f"model.sampler.seed={seed}")
        metrics = ("AP", "AP50", "AP75")
        values = {metric: expected["bbox"][metric] for metric in metrics}
        values |= {f"mask {metric}": expected["segm"][metric] for metric in metrics}
        assert rows[name]["runs"][str(seed)]["all"] == pytest.approx(values)
    best = rows["1 evaluation"]["runs"]["0"]["all"]
    assert best["AP"] > best["mask AP"] > 0  # every other true mask is half of what the model finds


def test_the_parts_have_mask_ap_too(measured):
    for part in ("crowded", "sparse"):
        assert measured[1]["rows"]["1 evaluation"]["runs"]["0"][part]["mask AP"] > 0


def test_the_table_and_the_plot_show_mask_ap(measured):
    folder, model = measured
    head, _, *lines = (folder / "ablation.md").read_text().splitlines()
    head, line = ([cell.strip() for cell in row.split("|")[1:-1]] for row in (head, lines[1]))
    assert head[2:12] == [
        *("box AP", "box AP50", "box AP75", "box AP crowded", "box AP sparse"),
        *("mask AP", "mask AP50", "mask AP75", "mask AP crowded", "mask AP sparse"),
    ]
    row = model["rows"]["4 evaluations"]
    for column, (part, metric) in {7: ("all", "mask AP"), 10: ("crowded", "mask AP"), 6: ("sparse", "AP")}.items():
        mean, deviation = mean_and_deviation(row, part, metric)
        assert line[column] == f"{mean:.1f} ± {deviation:.1f}"
    assert (folder / "ablation.png").stat().st_size > 10_000


def test_what_was_measured_with_masks_is_not_measured_again(case, measured, monkeypatch):
    folder, before = measured
    monkeypatch.setattr(tools.ablation.run, "average_precision", None)
    assert case.run(folder, "--seeds", "0", "1", "--evaluations", "4") == before
