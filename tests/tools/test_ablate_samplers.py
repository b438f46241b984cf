"""tools/ablate.py --samplers: what the rows change, that they run, and the plot of AP against cost."""

import pytest
from detectron2.config import instantiate

from layers_diffu_detr.ldm.ddim import DDIMUpdate
from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.ldm.renewal import DistinctRenewal, NothingNew
from layers_diffu_detr.ldm.starts import DistinctProposalStart, FilledProposalStart, GaussianStart, ProposalStart
from layers_diffu_detr.merging import BoxVoting, SoftNMS
from projects.diffu_base import get_config
from tests.tools.ablation_case import Case, config
from tools.ablation.cost_plot import front, plot_costs, points
from tools.ablation.results import fingerprint
from tools.ablation.rows import standard_rows
from tools.ablation.sampler_rows import sampler_rows


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def samplers(case):
    rows = sampler_rows(config(*case.opts))
    return {row.name: instantiate(config(*case.opts, *row.overrides).model.sampler) for row in rows}


def test_each_row_is_a_setting_of_its_own(case):
    rows = [*standard_rows(config(*case.opts)), *sampler_rows(config(*case.opts))]
    prints = {row.name: fingerprint(config(*case.opts, *row.overrides)) for row in rows}
    assert len(set(prints.values())) == len(rows) == len({row.name for row in rows})


def test_rows_of_one_evaluation(samplers):
    one = {name: sampler for name, sampler in samplers.items() if name.startswith("1 evaluation")}
    assert len(one) == 6 and all(sampler.num_steps == 1 for sampler in one.values())
    for name, sampler in one.items():
        assert (sampler.merge is None) == name.endswith("no NMS")
        assert sampler.merge is None or (sampler.merge.iou_threshold, sampler.merge.min_passes) == (0.8, 1)
    distinct = one["1 evaluation, distinct start, no NMS"]
    assert type(distinct.start) is DistinctProposalStart and distinct.time_pairs(100) == [(66, 0)]
    assert type(one["1 evaluation, all proposals, NMS"].start) is ProposalStart


def test_rows_of_chains(samplers):
    chains = {name: sampler for name, sampler in samplers.items() if "distinct renewal" in name and "start" in name}
    assert len(chains) == 24
    for name, sampler in chains.items():
        assert isinstance(sampler.renewal, DistinctRenewal)
        assert type(sampler.update) is DDIMUpdate
        expected = FilledProposalStart if "filled" in name else DistinctProposalStart
        assert type(sampler.start) is expected
        assert isinstance(sampler.ensemble, LastPass) == ("last pass only" in name)
        assert isinstance(sampler.merge, BoxVoting) == ("box voting" in name)
        assert isinstance(sampler.merge, SoftNMS) == ("soft-NMS" in name)
        two = [(33, 10), (10, 0)] if "later" in name else [(66, 33), (33, 0)]
        assert sampler.time_pairs(100) == (two if name[0] == "2" else [(66, 33), (33, 10), (10, 0)])
        assert isinstance(sampler.stop, NothingNew) == name.startswith("up to")


def test_rows_from_noise_have_the_released_chain_with_one_change(samplers):
    noise = {name: sampler for name, sampler in samplers.items() if isinstance(sampler.start, GaussianStart)}
    assert all(sampler.times is None and sampler.num_steps == 3 for sampler in noise.values())
    assert isinstance(noise["3 evaluations, soft-NMS"].merge, SoftNMS)
    voting = noise["3 evaluations, box voting"].merge
    assert (voting.nms.iou_threshold, voting.vote_iou_threshold) == (0.65, 0.8)


def test_a_baseline_has_distinct_starts():
    cfg = get_config("diffu_dino/demo/baseline-dino-digits")
    rows = sampler_rows(cfg)
    assert [row.name for row in rows] == ["distinct start, no NMS", "distinct start, NMS"]
    assert all("DistinctProposalStart" in " ".join(row.overrides) for row in rows)


@pytest.mark.slow
def test_all_rows_are_measured(case, tmp_path):
    model = case.run(tmp_path, "--no-standard-rows", "--samplers", "--seeds", "0")
    assert all("0" in row["runs"] and row["latency"] > 0 for row in model["rows"].values())
    flops = {name: row["flops"]["total"] for name, row in model["rows"].items()}
    assert flops["1 evaluation, all proposals, NMS"] < flops["2 evaluations, filled start, distinct renewal"]
    assert (tmp_path / "cost.png").stat().st_size > 10_000


def row(ap, flops=None, latency=None):
    entry = {"runs": {"0": {"all": {"AP": ap}}}}
    if flops is not None:
        entry["flops"] = {"total": flops * 1e9}
    return entry | ({} if latency is None else {"latency": latency / 1e3})


def test_the_front_has_the_points_that_nothing_cheaper_equals(tmp_path):
    rows = {"a": row(50, 1, 10), "b": row(50, 2, 9), "c": row(55, 3, 30), "d": row(54, 4), "e": row(None, 1, 1)}
    rows["f"] = {"note": "not possible", "runs": {}}
    found = points(rows, "GFLOPs per image")
    assert found == [("a", 1.0, 50.0), ("b", 2.0, 50.0), ("c", 3.0, 55.0), ("d", 4.0, 54.0)]
    assert [name for name, *_ in front(found)] == ["a", "c"]
    assert [name for name, *_ in front(points(rows, "ms per image"))] == ["b", "c"]
    models = {
        "diffusion": {"about": {"diffusion": True}, "rows": rows},
        "baseline": {"about": {"diffusion": False}, "rows": {"NMS": row(52, 2, 20)}},
    }
    plot_costs(models, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 10_000
