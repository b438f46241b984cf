"""Settings of the command line: paths of any spelling, and values of every kind."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from projects.diffu_base.config.files import get_config
from projects.diffu_base.config.overrides import apply_overrides, quoted

RUN = "common/train"
OWN_DATA = "diffu_dino/custom-r50-4scales"
SPELLINGS = [
    "runs (1)", "a,b", "a=b", "a = b", "[a]", "[a", "a]", "{a}", "{a: b}", "{a", "#1", "a#b", "a~b", "~no_one_here/x",
    "it's", 'a"b', "'a'b", "größe/日本", "e\u0301", "a b", " a", "a ", "a\tb", "a:b", "a;b", "a&b", "a|b", "a*?", "a$b",
    "$HOME", "a%20b", "a!b", "a@b", "+a", "-a", "--a", "a\\b", "a\\", "\\'", "3", "1e3", "true", "null", "nan", "",
    "range(1,3)", "glob(*)", "int(3)", "a,(b)=[c]{d}#e~f'g\"h ü",
]  # fmt: skip


def folder_of(override: str) -> str:
    return get_config(RUN, override).train.output_dir


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_path_is_taken_as_it_is_spelled(path: str):
    assert folder_of(f"train.output_dir={path}") == path
    assert folder_of(f"train.output_dir=/tmp/{path}") == f"/tmp/{path}"


@pytest.mark.parametrize("path", [*SPELLINGS, "'a'", '"a b"', "'it\\'s'"])
def test_a_quoted_value_is_text_whatever_it_holds_and_whatever_its_key_takes(path: str):
    assert folder_of(f"train.output_dir={quoted(path)}") == path
    assert get_config(RUN, f"train.max_iter={quoted(path)}").train.max_iter == path


def test_quotation_marks_around_a_whole_value_are_no_part_of_it():
    assert folder_of("train.output_dir='a b'") == folder_of('train.output_dir="a b"') == "a b"
    assert folder_of("train.output_dir='it\\'s'") == "it's"


def test_a_home_directory_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert folder_of("train.output_dir=~/runs (1)") == "/home/me/runs (1)"
    assert folder_of("train.output_dir=a/~/b") == "a/~/b"


@pytest.mark.parametrize("path", ["a,b", "[a]", "3", "a = b", " a"])
@pytest.mark.parametrize(
    "key",
    [
        "data.train_json",
        "data.val_images",
        "train.init_checkpoint",
        "dataloader.evaluator.output_dir",
        "dataloader.test.dataset.names.files.json_file",  # the argument of a LazyCall inside LazyCalls
        "train.wandb.params.dir",
    ],
)
def test_paths_of_every_part_of_a_config_are_taken_as_they_are_spelled(key: str, path: str):
    assert OmegaConf.select(get_config(OWN_DATA, f"{key}={path}"), key) == path


def test_other_values_have_their_types():
    overrides = (
        "train.max_iter=12", "optimizer.lr=1e-3", "train.tf32=null", "train.amp.enabled=true",
        "train.amp.dtype=float16",
        "dataloader.train.mapper.augmentation.1.short_edge_length=[480, 512]", "model.sampler.nms=null",
        "model.backbone={_target_: somewhere.Backbone, depth: 3}", "dataloader.evaluator.output_dir=null",
    )  # fmt: skip
    cfg = get_config(OWN_DATA, *overrides)
    train = cfg.train
    assert (train.max_iter, train.tf32, train.amp.enabled, train.amp.dtype) == (12, None, True, "float16")
    assert cfg.optimizer.lr == 1e-3 and cfg.model.sampler.nms is None and cfg.dataloader.evaluator.output_dir is None
    assert cfg.dataloader.train.mapper.augmentation[1].short_edge_length == [480, 512]
    assert cfg.model.backbone.depth == 3


def test_a_name_or_a_list_of_names():
    key = "dataloader.test.dataset.names"
    assert OmegaConf.select(get_config("coco_detr", f"{key}=[a, b]"), key) == ["a", "b"]
    for name in ("mine", "a,b", "a(b", " a"):
        assert OmegaConf.select(get_config("coco_detr", f"{key}={name}"), key) == name


def test_a_key_that_no_option_explains_keeps_a_text_or_takes_another_kind_of_value():
    cfg = OmegaConf.create({"mine": {"folder": "x", "size": 3}})
    for text in ("a,b", "a=b", " a", "(a"):
        assert apply_overrides(cfg, [f"mine.folder={text}"]).mine.folder == text
    assert apply_overrides(cfg, ["mine.folder=[1, 2]"]).mine.folder == [1, 2]
    assert apply_overrides(cfg, ["+mine.new=3"]).mine.new == 3
    with pytest.raises(ValueError, match=r"override 'mine.size=\[1' cannot be read.*mine.size='\.\.\.'"):
        apply_overrides(cfg, ["mine.size=[1"])


def test_an_interpolation_takes_the_value_of_another_key():
    cfg = get_config(RUN, "train.output_dir=runs/${train.seed}", "train.seed=4")
    assert cfg.train.output_dir == "runs/4"
    with pytest.raises(ValueError, match=r"override 'train.output_dir=a\$\{b' cannot be set"):
        get_config(RUN, "train.output_dir=a${b")


@pytest.mark.parametrize("value", ["1,2", "[1", "a=b", "'x", "range(1,3)"])
def test_a_value_that_cannot_be_read_is_named(value: str):
    with pytest.raises(ValueError, match="override .train.max_iter=.*cannot be read.*train.max_iter='"):
        get_config(RUN, f"train.max_iter={value}")


def test_a_setting_inside_of_a_value_is_refused():
    with pytest.raises(ValueError, match="override 'train.max_iter.x'"):
        get_config(RUN, "train.max_iter.x=3")
    with pytest.raises(ValueError, match=r"override '\+train.max_iter.x=3' cannot be set"):
        get_config(RUN, "+train.max_iter.x=3")


def test_a_config_file_may_lie_at_a_path_of_any_spelling(tmp_path: Path):
    for number, name in enumerate(["a (1), b=2 [c] {d} #e ~f 'g' \"h\" ü", "x=1", "[a]"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(f"train = dict(seed={number})\n")
        assert get_config(str(folder / f"{name}.py")).train.seed == number
        assert get_config(str(folder / name)).train.seed == number
