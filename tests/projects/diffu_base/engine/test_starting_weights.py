"""Training starts from a checkpoint with other classes: what fits is loaded, class rows follow the names."""

import copy
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.class_rows import is_class_tensor
from projects.diffu_base.engine.ema import named_weights
from projects.diffu_base.engine.starting_weights import class_names_of, load_starting_weights
from tests.support.custom_tree import CATEGORIES, overrides, write_custom_tree
from tests.support.golden import fill
from tests.support.own_data_configs import OWN_DATA
from tests.support.small_runs import small_run
from tools.train_net import argument_parser, main

pytestmark = pytest.mark.slow

CUSTOM_CONFIG = Path(__file__).resolve().parents[3] / "support" / "custom_config.py"
OLD, NEW = ["cup", "ball", "shoe", "hat"], ["hat", "glove", "cup"]
KEPT = {0: 3, 2: 0}  # row in the new model -> row in the checkpoint


def new_model(config: str, num_classes: int) -> nn.Module:
    cfg = copy.deepcopy(small_run(config).model)
    cfg.num_classes = num_classes
    return instantiate(cfg)


def build(config: str, num_classes: int, salt: int) -> nn.Module:
    return fill(new_model(config, num_classes), salt)


def write(path: Path, model: nn.Module, **extra) -> str:
    torch.save({"model": model.state_dict(), **extra}, path)
    return str(path)


@pytest.fixture(params=OWN_DATA)
def family(request) -> str:
    return request.param


def test_rows_of_known_classes_are_the_checkpoint_s_and_all_else_is_loaded(family: str, tmp_path: Path):
    old, model = build(family, len(OLD), 1), build(family, len(NEW), 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = write(tmp_path / "model.pth", old, class_names=OLD)
    report = load_starting_weights(model, file, class_names=NEW, new_classes=False)
    assert str(report.class_rows) == "class rows kept 2 (hat, cup), new 1 (glove)" and "glove" in str(report)
    after, given, by_class = model.state_dict(), old.state_dict(), 0
    encoder_head = classless_head_of(model)
    for name, value in after.items():
        if name.startswith(encoder_head):
            assert_close(value, given[name][: len(value)], rtol=0, atol=0)  # its first row says "object"
        elif is_class_tensor(name):
            by_class += 1
            assert all(torch.equal(value[new], given[name][old_row]) for new, old_row in KEPT.items())
            assert torch.equal(value[1], before[name][1])
        else:
            assert torch.equal(value, given[name]), name
    assert by_class >= 2 * (2 if encoder_head else 1)


def classless_head_of(model: nn.Module) -> tuple[str, ...]:
    """The encoder's class head, in both of its names, where all of its targets have the label 0."""
    targets = getattr(model.criterion, "encoder_targets", None)
    if type(targets).__name__ != "ClassAgnosticTargets":
        return ()
    name = f"class_embed.{len(model.class_embed) - 1}."
    return name, f"transformer.decoder.{name}"


def test_without_names_all_rows_start_anew_if_that_is_said(family: str, tmp_path: Path):
    old, model = build(family, len(OLD), 1), new_model(family, len(NEW))
    file = write(tmp_path / "model.pth", old)
    with pytest.raises(ValueError, match="train.new_classes=True lets all class rows start anew"):
        load_starting_weights(model, file, class_names=NEW, new_classes=False)
    report = load_starting_weights(model, file, class_names=None, new_classes=True)
    assert report.class_rows is not None and report.class_rows.sources == (None,) * len(NEW)
    heads = [m for name, m in model.named_modules() if is_class_tensor(f"{name}.bias") and isinstance(m, nn.Linear)]
    focal = -torch.log(torch.tensor((1 - 0.01) / 0.01)).expand(len(NEW))
    biases = [head.bias for head in (heads[:-1] if classless_head_of(model) else heads)]
    assert biases and all(torch.allclose(bias, focal) for bias in biases)


def test_as_many_classes_of_other_names_are_not_mistaken_for_the_same(tmp_path: Path):
    old, model = build(OWN_DATA[4], 3, 1), build(OWN_DATA[4], 3, 2)
    before = model.class_embed[0].weight.clone()
    file = write(tmp_path / "model.pth", old, class_names=["a", "b", "c"])
    load_starting_weights(model, file, class_names=["c", "d", "e"], new_classes=False)
    assert torch.equal(model.class_embed[0].weight[0], old.class_embed[0].weight[2])
    assert torch.equal(model.class_embed[0].weight[1:], before[1:])


def test_averages_are_taken_where_the_checkpoint_has_them(tmp_path: Path):
    old, averaged, model = (build(OWN_DATA[4], 3, salt) for salt in (1, 2, 3))
    file = write(tmp_path / "model.pth", old, ema_state=dict(named_weights(averaged)), class_names=OLD[:3])
    load_starting_weights(model, file, class_names=OLD[:3], new_classes=False)
    assert_close(dict(model.state_dict()), dict(averaged.state_dict()), rtol=0, atol=0)


def test_what_is_no_class_row_stays_strict(tmp_path: Path):
    old, model = build(OWN_DATA[4], 4, 1), build(OWN_DATA[4], 3, 2)
    weights = old.state_dict()
    del weights["transformer.level_embeds"]
    torch.save({"model": weights, "class_names": OLD}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="1 missing:\n  transformer.level_embeds"):
        load_starting_weights(model, str(tmp_path / "model.pth"), class_names=NEW, new_classes=True)


def test_a_checkpoint_says_its_classes(tmp_path: Path):
    layer = nn.Linear(2, 2)
    assert class_names_of(write(tmp_path / "a.pth", layer, class_names=["x", "y"])) == ["x", "y"]
    assert class_names_of(write(tmp_path / "b.pth", layer)) is None
    save_file(dict(layer.state_dict()), tmp_path / "model.safetensors")
    assert class_names_of(str(tmp_path / "model.safetensors")) is None
    for classes, expected in ((["x", "y"], ["x", "y"]), (["class 0", "class 1"], None)):
        (tmp_path / "model.json").write_text(json.dumps({"classes": classes}))
        assert class_names_of(str(tmp_path / "model.safetensors")) == expected


def train(output_dir: Path, data: dict[str, str], *settings: str) -> dict:
    """What the final checkpoint of a run on its own data holds."""
    arguments = ["--config-file", str(CUSTOM_CONFIG), "--num-gpus", "0", *overrides(data), *settings]
    main(argument_parser().parse_args([*arguments, f"train.output_dir={output_dir}"]))
    return torch.load(output_dir / "model_final.pth", weights_only=True)


def test_a_run_goes_on_with_fewer_and_renamed_classes(tmp_path: Path):
    first = train(tmp_path / "first", write_custom_tree(tmp_path / "data"))
    assert first["class_names"] == ["ball", "cup", "shoe"]
    data = write_custom_tree(tmp_path / "other")
    for split in ("train", "val"):
        content = json.loads(Path(data[f"{split}_json"]).read_text())
        content["categories"] = [{**CATEGORIES[0], "name": "mug"}, CATEGORIES[1], {"id": 1, "name": "shoe"}]
        Path(data[f"{split}_json"]).write_text(json.dumps(content))
    start = f"train.init_checkpoint={tmp_path / 'first' / 'model_final.pth'}"
    second = train(tmp_path / "second", data, start, "optimizer.lr=0", "optimizer.weight_decay=0")
    assert second["class_names"] == ["shoe", "ball", "mug"]
    heads = [
        name for name in second["model"] if name.startswith("class_embed.") and not name.startswith("class_embed.2")
    ]
    assert len(heads) == 4  # two layers; the third head is that of the proposals
    for name in [*heads, "label_enc.weight"]:
        rows, given = second["model"][name], first["model"][name]
        assert torch.equal(rows[0], given[2]) and torch.equal(rows[1], given[0])
        assert not torch.equal(rows[2], given[1])
    assert "class rows kept 2 (shoe, ball), new 1 (mug)" in (tmp_path / "second" / "log.txt").read_text()
