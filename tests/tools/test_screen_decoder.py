"""tools/screen_decoder.py on a tiny model and a data set of five images."""

import json

import pytest
import torch

from layers_diffu_detr.checkpoint_file import read_checkpoint
from tests.support.custom_tree import overrides, write_custom_tree
from tests.tools.ablation_case import CONFIG, config, save_model
from tools import screen_decoder
from tools.screen_decoder import main, name_in_checkpoint, start_from

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A checkpoint, and the arguments that name it."""
    folder = tmp_path_factory.mktemp("screening")
    opts = [*overrides(write_custom_tree(folder, num_train=4, num_val=2)), f"data.mended_dir={folder}"]
    checkpoint = save_model(folder / "model.pth", *opts)
    return checkpoint, ["--config-file", CONFIG, "--checkpoint", checkpoint, "--iterations", "3"], opts


def test_only_what_is_behind_the_encoder_is_trained(case, tmp_path, monkeypatch):
    checkpoint, arguments, opts = case
    trained = {}

    def remember(model, dataloader, evaluations):
        trained.update({name: value.clone() for name, value in model.state_dict().items()})
        return {"no NMS": [0.0] * 3, "NMS": [0.0] * 3}

    monkeypatch.setattr(screen_decoder, "average_precisions", remember)
    main([*arguments, "--output-dir", str(tmp_path), "--name", "a", "--lr", "0.01", *opts])
    before = read_checkpoint(checkpoint)["model"]
    changed = {name for name, value in before.items() if not torch.equal(value, trained[name])}
    assert any(name.startswith("transformer.decoder.layers.0") for name in changed)
    assert {name.split(".")[0] for name in changed} <= {"transformer", "class_embed", "bbox_embed", "label_enc"}
    assert not any(".encoder." in name or "enc_output" in name or "level_embeds" in name for name in changed)


def test_recipes_share_the_encoders_outputs_and_one_file_of_results(case, tmp_path, monkeypatch):
    _, arguments, opts = case
    for name in ("a", "b"):
        main([*arguments, "--output-dir", str(tmp_path), "--name", name, "--evaluations", "1", "2", *opts])
        monkeypatch.setattr(screen_decoder, "build_loader", None)  # the second recipe must not need it
    results = json.loads((tmp_path / "screening.json").read_text())
    assert list(results) == ["a", "b"]
    lines = (tmp_path / "screening.md").read_text().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")][:2] for line in lines]
    assert cells == [["a", "1"], ["a", "2"], ["b", "1"], ["b", "2"]]
    assert results["a"]["AP"] == results["b"]["AP"] and results["a"]["loss"] == results["b"]["loss"]
    assert set(results["a"]["AP"]) == {"1 evaluations", "2 evaluations"}
    assert set(results["a"]["AP"]["1 evaluations"]) == {"no NMS", "NMS"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("class_embed.2.weight", "class_embed.3.weight"),  # the proposals' head
        ("class_embed.1.weight", "class_embed.1.weight"),
        ("transformer.decoder.bbox_embed.2.layers.0.bias", "transformer.decoder.bbox_embed.3.layers.0.bias"),
        ("transformer.decoder.layers.1.norms.0.bias", "transformer.decoder.layers.1.norms.0.bias"),
        ("transformer.encoder.layers.5.norms.0.bias", "transformer.encoder.layers.5.norms.0.bias"),
    ],
)
def test_a_shorter_decoder_starts_from_the_first_layers_and_the_proposals_heads(name, source):
    assert name_in_checkpoint(name, layers=2, checkpoint_layers=3) == source


def test_a_longer_decoder_repeats_the_last_layer(case):
    from projects.diffu_base.engine.build import build_model

    checkpoint, _, opts = case
    layers = config(*opts).model.transformer.decoder.num_layers
    model = build_model(config(*opts, f"model.transformer.decoder.num_layers={layers + 2}").model, "cpu")
    start_from(model, checkpoint)
    weights = read_checkpoint(checkpoint)["model"]
    last = weights[f"transformer.decoder.layers.{layers - 1}.norms.0.weight"]
    for i in range(layers - 1, layers + 2):
        torch.testing.assert_close(model.state_dict()[f"transformer.decoder.layers.{i}.norms.0.weight"], last)
    proposals = model.state_dict()[f"class_embed.{layers + 2}.weight"]
    torch.testing.assert_close(proposals, weights[f"class_embed.{layers}.weight"])


def test_a_checkpoint_of_another_backbone_is_refused(case, tmp_path):
    _, arguments, opts = case
    other = tmp_path / "other.pth"
    torch.save({"model": {"transformer.decoder.layers.0.norms.0.weight": torch.ones(3)}}, other)
    arguments = [str(other) if each == arguments[3] else each for each in arguments]
    with pytest.raises(SystemExit, match="backbone"):
        main([*arguments, "--output-dir", str(tmp_path), "--name", "a", *opts])
