"""Rows of class heads follow the classes' names."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.class_rows import ClassRows, by_position, is_class_tensor

GIVEN = torch.tensor([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
OWN = torch.full((2, 2), -4.0)


def test_rows_of_equal_names_are_taken_whatever_their_order():
    rows = ClassRows.by_name(["shoe", "cup"], ["cup", "ball", "shoe"])
    assert rows.sources == (2, 0)
    assert_close(rows.fitted("class_embed.0.weight", GIVEN, OWN), GIVEN[[2, 0]], rtol=0, atol=0)


def test_a_new_class_keeps_the_model_s_initial_row():
    rows = ClassRows.by_name(["hat", "ball"], ["cup", "ball", "shoe"])
    assert_close(rows.fitted("class_embed.0.bias", GIVEN[:, 0], OWN[:, 0]), torch.tensor([-4.0, 2.0]))
    assert str(rows) == "class rows kept 1 (ball), new 1 (hat)"
    assert_close(OWN, torch.full((2, 2), -4.0))  # the model is changed only when everything fits


def test_a_name_that_comes_twice_is_told_apart_by_its_order():
    assert ClassRows.by_name(["bat", "cup", "bat", "bat"], ["bat", "bat", "cup"]).sources == (0, 2, 1, None)


def test_without_names_all_rows_start_anew():
    rows = ClassRows.anew(["hat", "ball"])
    assert_close(rows.fitted("class_embed.0.weight", GIVEN, OWN), OWN)
    assert str(rows) == "class rows kept 0, new 2 (hat, ball)"


def test_the_row_of_filler_boxes_stays_behind_the_classes():
    rows = ClassRows.by_name(["ball"], ["cup", "ball"])  # each side has a further row
    assert_close(rows.fitted("label_enc.weight", GIVEN, OWN), GIVEN[[1, 2]], rtol=0, atol=0)


def test_a_checkpoint_whose_names_and_rows_disagree_is_refused():
    rows = ClassRows.by_name(["ball"], ["cup"])
    with pytest.raises(ValueError, match="label_enc.weight has 3 rows; the checkpoint names 1 classes"):
        rows.fitted("label_enc.weight", GIVEN, OWN)


def test_rows_without_classes_keep_their_order():
    assert_close(by_position(GIVEN, OWN), GIVEN[:2], rtol=0, atol=0)
    assert_close(by_position(OWN, GIVEN), torch.cat([OWN, GIVEN[2:]]), rtol=0, atol=0)


def test_a_long_list_of_classes_is_cut():
    assert str(ClassRows.anew([f"c{i}" for i in range(12)])).endswith("c8, c9, 2 more)")


@pytest.mark.parametrize(
    "name",
    ["class_embed.6.bias", "transformer.decoder.class_embed.0.weight", "head.head_series.5.class_logits.weight"],
)
def test_heads_of_all_families_are_known(name: str):
    assert is_class_tensor(name)
    assert is_class_tensor("label_enc.weight")
    assert not is_class_tensor("bbox_embed.0.layers.0.weight") and not is_class_tensor("neck.convs.0.norm.weight")
