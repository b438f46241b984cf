"""The printed reference is what the options say."""

import re
from pathlib import Path
from typing import Literal

import pytest
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from pydantic import Field
from torch import nn

from projects.diffu_base import get_config
from projects.diffu_base.config.options.base import Options
from projects.diffu_base.config.options.catalog import EXPLAINED
from projects.diffu_base.config.options.kinds import Count, Dropout, Names, Part, Share
from projects.diffu_base.config.options.wording import kind, short_name, shown
from projects.diffu_base.config.reference import describe, reference

PAGE = Path(__file__).resolve().parents[4] / "docs" / "options.md"
NAMES_OF_OTHERS = {"BN", "GN", "FrozenBN", "RGB", "BGR", "BasicBlock", "BottleneckBlock", "ShapeSpec", "SupConLoss"}


def test_the_page_of_all_options_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "python -m projects.diffu_base.config.reference > docs/options.md"
    )


def test_names_of_classes_in_sentences_exist():
    named = set(re.findall(r"`([A-Z]\w+)`", re.sub(r"\[`\w+`\]\(#\w+\)", "", reference())))
    assert named - NAMES_OF_OTHERS == {name for name in named if name in map(short_name, EXPLAINED)}


def test_a_config_is_described_line_by_line():
    cfg = OmegaConf.create(
        {
            "model": L(nn.LayerNorm)(normalized_shape="${..num_classes}", eps=0.1),
            "num_classes": 10,
            "dataloader": {"train": L(nn.Identity)(speed=3), "test": None},
            "train": {"amp": {"dtype": "float16"}, "note": ""},
        },
        flags={"allow_objects": True},
    )
    columns = [re.split(r"  +", line) for line in describe(cfg).splitlines()]
    assert [line[:2] for line in columns] == [
        ["model = LayerNorm", "object"],
        ["model.normalized_shape = 10 (${..num_classes})", "integer ≥ 1 or list of integers ≥ 1"],
        ["model.eps = 0.1", "number ≥ 0 (default 1e-05)"],
        ["num_classes = 10", "integer ≥ 1 or null (default null)"],
        ["dataloader.train = Identity", "object or null (default null)"],
        ["dataloader.train.speed = 3"],  # what a class of one's own takes is not explained
        ["dataloader.test = null", "object or null (default null)"],
        ["train.amp.dtype = float16", "one of bfloat16, float16 (default bfloat16)"],
        ['train.note = ""'],
    ]
    assert columns[2][2] == EXPLAINED["torch.nn.modules.normalization.LayerNorm"].model_fields["eps"].description


def test_what_an_interpolation_brings_along_is_described_where_it_is_set():
    keys = [line.split(" = ")[0] for line in describe(get_config("diffu_dino/demo/digits-inst")).splitlines()]
    assert "model.mask_head.channels" in keys and "model.criterion.mask_loss.mask_head" in keys
    assert "model.criterion.mask_loss.mask_head.channels" not in keys


def test_a_part_shows_interpolations_that_lead_out_of_it():
    lines = describe(get_config("common/data/tta")).splitlines()
    assert any(
        line.startswith("test_time_augmentation.max_detections = ${model.select_box_nums_for_evaluation}  integer")
        for line in lines
    )


class Kinds(Options):
    count: Count = Field(3)
    share: Share | None = Field(None)
    dropout: Dropout = Field(0.0)
    even: int = Field(2, gt=0, multiple_of=2)
    choice: Literal["a", "b"] = Field("a")
    names: Names = Field(["x"])
    pair: list[float] = Field([1, 2], min_length=2, max_length=2)
    parts: Part | list[Part] = Field(None)
    flag: bool = Field(False)
    rest: dict[str, int] = Field({})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("count", "integer ≥ 1"),
        ("share", "number in [0, 1] or null"),
        ("dropout", "number in [0, 1)"),
        ("even", "integer > 0, multiple of 2"),
        ("choice", "one of a, b"),
        ("names", "non-empty list of texts"),
        ("pair", "list of 2 numbers"),
        ("parts", "object or list of objects"),
        ("flag", "true or false"),
        ("rest", "mapping"),
    ],
)
def test_kinds_in_words(key: str, words: str):
    assert kind(Kinds.model_fields[key]) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("", '""'),
        ("cpu", "cpu"),
        (1e-4, "0.0001"),
        ([1, "a"], "[1, a]"),
        ({"a": None}, "{a: null}"),
        ({"_target_": "torch.optim.AdamW", "lr": 1}, "AdamW"),
        ({"_target_": nn.GroupNorm}, "GroupNorm"),
        (nn.Identity, "Identity"),
    ],
)
def test_values_in_words(value: object, text: str):
    assert shown(value) == text


def test_names_lose_their_modules():
    assert short_name("torch.optim.adamw.AdamW") == "AdamW"
    assert short_name("a.b.ResNet.make_stage") == "ResNet.make_stage"
    assert short_name("layers_diffu_detr.ldm.schedule.cosine_betas") == "cosine_betas"
