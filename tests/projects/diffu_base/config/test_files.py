"""Configs by name: from any directory, by as much of the name as is unique, with all of their keys."""

import builtins
from pathlib import Path

import pytest
from detectron2.config import LazyConfig

from projects.diffu_base import get_config
from projects.diffu_base.config.files import config_names, find_config
from tests.projects.diffu_base.engine.runs import ROOT
from tests.support.own_data_configs import LIGHT, OWN_DATA

FULL_NAME = "diffu_dino/dino-resnet/coco-r50-4scales-50ep"
FILE = ROOT / "projects/diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py"


@pytest.fixture(autouse=True)
def another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        FULL_NAME,
        f"{FULL_NAME}.py",
        "dino-resnet/coco-r50-4scales-50ep",
        "diffu_dino/coco-r50-4scales-50ep",
        str(FILE),
        str(FILE.with_suffix("")),
        "projects/diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py",  # a path of the checkout
    ],
)
def test_a_config_is_found_by_name_and_by_path(name):
    assert find_config(name) == FILE


def test_every_name_leads_to_its_file():
    assert len(config_names()) == len(set(config_names())) > 90
    assert {find_config(name) for name in config_names()} == {
        *ROOT.glob("projects/*/configs/**/*.py"),
        *ROOT.glob("configs/common/**/*.py"),
    }


def test_shared_parts_have_names():
    assert get_config("coco_detr").dataloader.train.dataset.names == "coco_2017_train"
    assert find_config("configs/common/data/coco_detr.py") == find_config("common/data/coco_detr")


@pytest.mark.parametrize("name", ["custom-r50-4scales", "demo/digits"])
def test_an_ambiguous_name_is_refused_with_all_that_it_may_mean(name):
    with pytest.raises(ValueError, match=f"{name}.*ambiguous.*diffu_detr/{name}.*diffu_dino/{name}"):
        get_config(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("diffu_dino/dino-resnet/coco-r50-4scale-50ep", FULL_NAME),
        ("coco-r101-5", "diffusion_inst/coco-r101-5x"),
        ("nowhere/coco-r101-5x.py", "diffusion_inst/coco-r101-5x"),
        ("", "diffu"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no config '{name}'.*{near}"):
        get_config(name)


def test_an_own_file_is_found_with_and_without_its_ending(tmp_path: Path):
    (tmp_path / "mine.py").write_text("train = dict(max_iter=3)\n")
    for name in ("mine", "mine.py", "./mine", str(tmp_path / "mine")):
        assert get_config(name).train.max_iter == 3


def test_an_own_file_wins_over_a_name_when_it_is_written_as_a_path(tmp_path: Path):
    (tmp_path / "coco_detr.py").write_text("train = dict(max_iter=3)\n")
    assert "train" in get_config("coco_detr.py") and "train" in get_config("./coco_detr")
    assert "dataloader" in get_config("coco_detr")


def test_the_config_of_a_run_is_read_from_its_yaml_file(tmp_path: Path):
    LazyConfig.save(get_config(FULL_NAME), str(tmp_path / "config.yaml"))
    assert get_config("config.yaml").train.max_iter == 375_000


def test_a_config_is_its_own():
    first = get_config(FULL_NAME)
    first.model.num_queries = 3
    assert get_config(FULL_NAME).model.num_queries == 900


def test_overrides_are_set_and_must_fit():
    assert get_config(FULL_NAME, "model.num_queries=5", "train.seed=1").model.num_queries == 5
    with pytest.raises(ValueError, match="train.max_iters.*max_iter"):
        get_config(FULL_NAME, "train.seed=1", "train.max_iters=3")


def test_a_file_that_raises_leaves_python_s_import_alone(tmp_path: Path):
    before = builtins.__import__
    (tmp_path / "broken.py").write_text("from .nothing import model\n")
    with pytest.raises(ValueError, match="broken.py', line 1: ImportError: "):
        get_config("broken")
    assert builtins.__import__ is before


@pytest.mark.parametrize("base", OWN_DATA)
def test_own_data_with_one_setting_changed_is_two_lines(base, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "from projects.diffu_base import get_config\n"
        f'globals().update(get_config("{base}", "optimizer.lr=0.5", "data.train_json=a.json"))\n'
    )
    mine, original = get_config("mine"), get_config(base)
    assert mine.keys() == original.keys() >= {"data", "data_check", "num_classes", "model", "train", "dataloader"}
    assert mine.optimizer.lr == mine.optimizer.params.base_lr == 0.5
    assert mine.data_check.train.json_file == mine.model.num_classes.json_file == "a.json"
    mine.optimizer.lr, mine.data.train_json = original.optimizer.lr, original.data.train_json
    assert mine == original


def test_every_family_has_a_config_for_own_data():
    assert {name for name in config_names() if "custom-" in name} == {*OWN_DATA, *LIGHT}
