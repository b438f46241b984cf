"""Words that make a setting."""

from pathlib import Path

import pytest

from tools.benchmarking.setting import Setting

CONFIG = str(Path(__file__).parents[1] / "measured_config.py")


def test_words_are_told_apart_by_their_names():
    setting = Setting(CONFIG).plus("model.num_queries=10 DIFFU_DETR_DEFORM_ATTN=pytorch MKL_NUM_THREADS=1 cache=off")
    assert setting.overrides == ("model.num_queries=10",)
    assert setting.environment == {"DIFFU_DETR_DEFORM_ATTN": "pytorch", "MKL_NUM_THREADS": "1"}
    assert not setting.cache
    assert setting.load().model.num_queries == 10


def test_words_add_to_those_before_and_later_ones_win():
    first = Setting(CONFIG).plus(["model.num_queries=10", "cache=off"])
    second = first.plus("model.num_queries=20 cache=on")
    assert second.load().model.num_queries == 20 and second.cache
    assert first.load().model.num_queries == 10 and not first.cache


def test_a_word_in_quotation_marks_may_have_spaces():
    assert Setting(CONFIG).plus("""'model.pixel_mean=[1, 2, 3]'""").load().model.pixel_mean == [1, 2, 3]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fast", "'fast' is not of the form key=value"),
        ("=1", "'=1' is not of the form"),
        ("cache=maybe", "cache is 'maybe'; allowed are on, off"),
        ("DIFFU_DETR_DEFORM_ATTN=cuda", "DIFFU_DETR_DEFORM_ATTN is 'cuda'; allowed are auto, compiled, pytorch"),
        ("DIFFU_DETR_DEFORM=pytorch", "there is no variable DIFFU_DETR_DEFORM; there is DIFFU_DETR_DEFORM_ATTN"),
    ],
)
def test_words_that_would_do_nothing_are_refused(word, message):
    with pytest.raises(ValueError, match=message):
        Setting(CONFIG).plus(word)


def test_an_override_of_a_key_that_is_not_there_is_refused_on_loading():
    with pytest.raises(ValueError, match="there is no 'num_queris'|there is no 'modell'"):
        Setting(CONFIG).plus("modell.num_queris=3").load()


def test_a_seed_to_be_drawn_becomes_zero():
    assert Setting(CONFIG).plus("train.seed=-1").load().train.seed == 0


def test_weights_are_named_by_the_words_alone():
    assert not Setting(CONFIG).checkpoint
    assert Setting(CONFIG).plus("train.init_checkpoint=model.pth").checkpoint
