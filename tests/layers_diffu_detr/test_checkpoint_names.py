"""A model's own hook for the names in its checkpoints, and what parallel and compiled models put before names."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from layers_diffu_detr.checkpoint_names import CheckpointNames, strip_prefixes
from tests.support.golden import fill


class Model(nn.Module):
    """A model that others released under other names, with more tensors, and without its neck."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 3)})
        self.neck = nn.Linear(4, 4)

    def checkpoint_names(self):
        return CheckpointNames(
            renamed={"backbone.first.": "backbone.stem."}, ignored={"usage.": "counts of usage"}, added_parts=("neck",)
        )


def released_state(model):
    names = {name: name.replace("backbone.stem.", "backbone.first.") for name in model.state_dict()}
    return {names[name]: value for name, value in model.state_dict().items()} | {"usage.weights": torch.ones(3)}


def test_a_model_says_how_released_checkpoints_name_it():
    model, other = fill(Model(), 1), fill(Model(), 2)
    report = load_weights(model, released_state(other))
    assert_close(dict(model.state_dict()), dict(other.state_dict()), rtol=0, atol=0)
    assert report.ignored == {"usage.weights": "counts of usage"}
    assert report.renamed["backbone.first.weight"] == "backbone.stem.weight"
    load_weights(model, fill(Model(), 3).state_dict())  # a checkpoint with the model's own names loads too


def test_a_part_that_a_simpler_model_lacks_is_left_as_a_whole_or_loaded_as_a_whole():
    model, other = fill(Model(), 1), fill(Model(), 2)
    before = model.neck.weight.clone()
    state = released_state(other)
    del state["neck.weight"]
    with pytest.raises(ValueError, match="1 missing:\n  neck.weight"):
        load_weights(model, state)
    del state["neck.bias"]
    assert load_weights(model, state).initialised == ["neck.weight", "neck.bias"]
    assert_close(model.neck.weight, before, rtol=0, atol=0)


def test_prefixes_go_where_all_names_have_them():
    assert strip_prefixes(["module._orig_mod.a", "module._orig_mod.module.b"]) == {
        "module._orig_mod.a": "a",
        "module._orig_mod.module.b": "module.b",
    }
    assert strip_prefixes(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
    assert strip_prefixes([]) == {}
