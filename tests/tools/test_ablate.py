"""tools/ablate.py on a tiny model whose own detections, at one setting, are the ground truth of its test images."""

import copy
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

import tools.ablation.run
from layers_diffu_detr.ldm.ddim import DDIMUpdate, FreshNoise, ReleasedUpdate, SinglePass
from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.postprocess import ClassWiseNMS
from tests.tools.ablation_case import CONFIG, CROWDED_IMAGES, Case, config, save_model
from tools.ablate import main
from tools.ablation.report import markdown
from tools.ablation.results import fingerprint, mean_and_deviation
from tools.ablation.rows import parse_row, slot, standard_rows
from tools.ablation.subsets import restricted, split_by_objects

pytestmark = pytest.mark.slow

BASELINE = (
    "model.diffusion=null",
    "model.diffused_queries=null",
    "model.transformer.time_embed=null",
    "model.transformer.decoder.conditioning=null",
    *slot("model.sampler", SinglePass, merge="null"),
)
TWO_STEPS, ONE_STEP = "two: model.sampler.num_steps=2", "one: model.sampler.num_steps=1"


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("ablation"))


@pytest.fixture(scope="module")
def measured(case, tmp_path_factory) -> tuple[Path, dict]:
    """Folder and results of two rows and two seeds."""
    folder = tmp_path_factory.mktemp("measured")
    rows = ("--no-standard-rows", "--row", ONE_STEP, "--row", TWO_STEPS)
    return folder, case.run(folder, "--seeds", "0", "1", *rows)


@pytest.fixture
def uncounted(monkeypatch):
    """No FLOPs are counted, which would take most of the time."""
    monkeypatch.setattr(tools.ablation.run, "flops_of_first_image", lambda setting: {"total": 1, "size": [64, 96]})


def test_a_rows_ap_is_that_of_the_config_with_its_overrides_and_the_seed(case, measured):
    rows = measured[1]["rows"]
    for name, steps in (("one", 1), ("two", 2)):
        for seed in (0, 1):
            expected = case.evaluate(f"model.sampler.num_steps={steps}", f"model.sampler.seed={seed}")["bbox"]
            found = rows[name]["runs"][str(seed)]["all"]
            assert found == pytest.approx({metric: expected[metric] for metric in ("AP", "AP50", "AP75")})
    best = rows["two"]["runs"]["0"]["all"]["AP"]  # the ground truth's own setting
    assert best > max(rows["two"]["runs"]["1"]["all"]["AP"], rows["one"]["runs"]["0"]["all"]["AP"]) > 0


def test_crowded_and_sparse_images_are_scored_as_if_there_were_no_others(case, measured, tmp_path):
    content = json.loads(Path(case.paths["val_json"]).read_text())
    assert measured[1]["about"]["images"] == {"all": 5, "crowded": 2, "sparse": 3}
    for part, ids in (("crowded", CROWDED_IMAGES), ("sparse", {1, 3, 5})):
        path = tmp_path / f"{part}.json"
        path.write_text(json.dumps(restricted(content, ids)))
        alone = case.evaluate(f"data.val_json={path}", "model.sampler.num_steps=2", "model.sampler.seed=1")
        assert measured[1]["rows"]["two"]["runs"]["1"][part]["AP"] == pytest.approx(alone["bbox"]["AP"])


def test_more_evaluations_cost_more_flops_and_every_row_is_timed(measured):
    one, two = (measured[1]["rows"][name] for name in ("one", "two"))
    assert two["flops"]["total"] > one["flops"]["total"] > 0
    assert two["flops"]["size"] == [64, 96]
    assert min(one["latency"], two["latency"]) > 0


def test_a_model_without_masks_has_box_metrics_alone(measured):
    folder, model = measured
    assert all(set(part) == {"AP", "AP50", "AP75"} for part in model["rows"]["two"]["runs"]["0"].values())
    head = "| model | setting | AP | AP50 | AP75 | AP crowded | AP sparse | ms / image | GFLOPs |"
    assert (folder / "ablation.md").read_text().splitlines()[0] == head


def test_beside_a_model_with_masks_one_without_has_dashes_for_them(measured):
    box_model = measured[1]
    run = {part: {"AP": 40.0, "AP50": 50.0, "AP75": 30.0, "mask AP": 25.0} for part in ("all", "crowded", "sparse")}
    mask_model = {"about": box_model["about"], "rows": {"two": {"runs": {"0": run}}}}
    _, _, boxes, *_, masks = markdown({"boxes": box_model, "masks": mask_model}).split("\n\n")[0].splitlines()
    assert boxes.split("|")[8].strip() == "-" and masks.split("|")[8].strip() == "25.0"


def test_the_table_and_the_plot_are_written(measured):
    folder, model = measured
    table = (folder / "ablation.md").read_text()
    mean, deviation = mean_and_deviation(model["rows"]["two"], "crowded", "AP")
    assert f"| {mean:.1f} ± {deviation:.1f} |" in next(line for line in table.splitlines() if "| two |" in line)
    assert "crowded: more than 2 objects (2 images)" in table
    assert (folder / "ablation.png").stat().st_size > 10_000


def test_an_interrupted_run_goes_on_and_ends_with_the_same_results(case, measured, tmp_path, monkeypatch, uncounted):
    arguments = ("--seeds", "0", "1", "--no-standard-rows", "--row", ONE_STEP, "--row", TWO_STEPS)
    original, calls = tools.ablation.run.average_precision, []

    def interrupted(setting, seed, *rest):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(seed)
        return original(setting, seed, *rest)

    monkeypatch.setattr(tools.ablation.run, "average_precision", interrupted)
    with pytest.raises(KeyboardInterrupt):
        case.run(tmp_path, *arguments)
    assert calls == [0, 1, 0]
    calls.pop()  # one is left
    resumed = case.run(tmp_path, *arguments)
    assert calls == [0, 1, 1]
    for name, row in measured[1]["rows"].items():
        assert resumed["rows"][name]["runs"] == row["runs"]
    content = (tmp_path / "ablation.json").read_text()
    case.run(tmp_path, *arguments)  # would fail if it evaluated anything
    assert (tmp_path / "ablation.json").read_text() == content


def test_results_of_another_model_or_another_row_are_not_written_over(case, measured, tmp_path):
    folder, _ = measured
    content = (folder / "ablation.json").read_text()
    other = save_model(tmp_path / "other.pth", *case.opts, "model.num_queries=20")
    with pytest.raises(ValueError, match=r"results of another model 'tiny': .*sha256"):
        case.run(folder, "--no-standard-rows", "--row", ONE_STEP, checkpoint=other)
    with pytest.raises(ValueError, match=r"results of another row 'one' of model 'tiny'"):
        case.run(folder, "--no-standard-rows", "--row", "one: model.sampler.num_steps=3")
    assert (folder / "ablation.json").read_text() == content


def test_a_row_that_the_weights_do_not_fit_is_noted_and_the_others_are_measured(case, tmp_path, uncounted):
    learned = slot("model.transformer.tgt_embed", torch.nn.Embedding, num_embeddings=60, embedding_dim=64)
    rows = ("--row", f"learned: '{learned[1]}'", "--row", ONE_STEP)
    model = case.run(tmp_path, "--seeds", "0", "--no-standard-rows", *rows)
    assert "transformer.tgt_embed.weight" in model["rows"]["learned"]["note"]
    assert model["rows"]["learned"]["runs"] == {} and "0" in model["rows"]["one"]["runs"]
    assert "Not possible: tiny, learned: the checkpoint does not fit" in (tmp_path / "ablation.md").read_text()


def test_weights_that_do_not_fit_the_model_itself_are_an_error(case, tmp_path):
    with pytest.raises(ValueError, match="does not fit the model"):
        case.run(tmp_path, "--no-standard-rows", "--row", ONE_STEP, opts=("model.transformer.encoder.num_layers=2",))


def test_a_baseline_is_measured_once_without_and_with_nms(case, tmp_path, uncounted):
    checkpoint = save_model(tmp_path / "baseline.pth", *case.opts, *BASELINE)
    model = case.run(tmp_path / "out", "--seeds", "0", "1", checkpoint=checkpoint, opts=BASELINE)
    assert {name: list(row["runs"]) for name, row in model["rows"].items()} == {"no NMS": ["none"], "NMS": ["none"]}
    assert "| tiny | NMS |" in (tmp_path / "out" / "ablation.md").read_text()


def test_all_standard_rows_of_a_diffusion_model_are_measured(case, tmp_path, uncounted):
    model = case.run(tmp_path, "--seeds", "0")
    assert len(model["rows"]) == 13
    assert all("0" in row["runs"] and row["latency"] > 0 for row in model["rows"].values())


def test_of_the_standard_rows_numbers_of_evaluations_can_be_chosen(case):
    cfg = config(*case.opts)
    standard = {row.name: row for row in standard_rows(cfg)}
    chosen = standard_rows(cfg, [1, 3, 4])
    assert [row.name for row in chosen] == ["1 evaluation", "3 evaluations", "4 evaluations"]
    assert chosen[:2] == [standard["1 evaluation"], standard["3 evaluations"]]  # so that their results are shared
    assert config(*case.opts, *chosen[2].overrides).model.sampler.num_steps == 4
    baseline = config(*case.opts, *BASELINE)
    assert standard_rows(baseline, [1, 4]) == standard_rows(baseline)  # it evaluates its decoder once


def test_each_standard_row_changes_what_its_name_says(case):
    base = config(*case.opts)
    rows = {row.name: config(*case.opts, *row.overrides) for row in standard_rows(base)}
    samplers = {name: instantiate(cfg.model.sampler) for name, cfg in rows.items()}
    assert [samplers[f"{n} evaluation{'s' * (n > 1)}"].num_steps for n in (1, 3, 5, 10)] == [1, 3, 5, 10]
    same = [name for name, cfg in rows.items() if fingerprint(cfg) == fingerprint(base)]
    assert same == ["3 evaluations"] and len({fingerprint(cfg) for cfg in rows.values()}) == len(rows)
    assert rows["1 evaluation, NMS, 90 queries"].model.num_queries == 3 * base.model.num_queries
    for name in ("1 evaluation, NMS", "1 evaluation, NMS, 90 queries", "3 evaluations, last pass only, NMS"):
        assert samplers[name].merge.min_passes == 1 and samplers[name].merge.iou_threshold == 0.8
    assert samplers["3 evaluations, no NMS"].merge is None
    assert samplers["3 evaluations, no renewal"].renewal is None
    assert isinstance(samplers["3 evaluations, last pass only"].ensemble, LastPass)
    assert isinstance(samplers["3 evaluations, fresh noise"].update, FreshNoise)
    assert type(samplers["3 evaluations"].update) is ReleasedUpdate
    assert type(samplers["3 evaluations, correct update"].update) is DDIMUpdate


def test_the_other_update_of_a_model_with_the_correct_one_is_the_released_one(case):
    cfg = config(*case.opts, *slot("model.sampler.update", DDIMUpdate, eta=0.5))
    (row,) = [row for row in standard_rows(cfg) if row.name == "3 evaluations, released update"]
    update = instantiate(config(*case.opts, *row.overrides).model.sampler).update
    assert type(update) is ReleasedUpdate and update.eta == 0.5


def test_a_slot_loses_the_arguments_of_the_object_before(case):
    cfg = config(*case.opts, *slot("model.sampler.update", ClassWiseNMS, iou_threshold=0.5))
    assert set(cfg.model.sampler["update"]) == {"_target_", "iou_threshold"}


def test_images_split_at_the_median_or_a_number_and_crowd_regions_do_not_count():
    objects = {1: 1, 2: 2, 3: 2, 4: 7, 5: 0}
    annotations = [{"image_id": id, "iscrowd": 0} for id, count in objects.items() for _ in range(count)]
    annotations += [{"image_id": 5, "iscrowd": 1}] * 9
    content = {"images": [{"id": id} for id in objects], "annotations": annotations}
    assert split_by_objects(content, None) == ({"crowded": {4}, "sparse": {1, 2, 3, 5}}, 2)
    assert split_by_objects(content, 1)[0] == {"crowded": {2, 3, 4}, "sparse": {1, 5}}
    assert split_by_objects(content, 7)[0] == {"sparse": {1, 2, 3, 4, 5}}
    before = copy.deepcopy(content)
    assert restricted(content, frozenset({3})) == {"images": [{"id": 3}], "annotations": [annotations[3]] * 2}
    assert content == before


def test_mean_and_sample_deviation_over_seeds():
    row = {"runs": {"0": {"all": {"AP": 10.0}}, "1": {"all": {"AP": 13.0}}, "2": {"all": {"AP": 16.0}}}}
    assert mean_and_deviation(row, "all", "AP") == (13.0, 3.0)
    assert mean_and_deviation({"runs": {"none": {"all": {"AP": 10.0}}}}, "all", "AP") == (10.0, None)


def test_a_row_is_read_from_text():
    row = parse_row("my row: a.b=1 'c={_target_: x.Y, d: 2}'")
    assert row.name == "my row" and row.overrides == ("a.b=1", "c={_target_: x.Y, d: 2}")
    for text in ("a.b=1", ": a=1", "name: word"):
        with pytest.raises(ValueError, match="name: key=value"):
            parse_row(text)


def test_a_model_that_is_not_of_the_form_or_not_there_is_named(tmp_path):
    for text, reason in (("tiny=config.py", "NAME=CONFIG:CHECKPOINT"), (f"tiny={CONFIG}:none.pth", "none.pth")):
        with pytest.raises(ValueError, match=reason):
            main(["--model", text, "--output-dir", str(tmp_path)])
