"""The model zoo: what it lists, and what it says about weights."""

import pytest

from projects.diffu_base.api.zoo import GFLOPS, WEIGHTS, Entry, Weights, how_to_get, zoo
from projects.diffu_base.cli import main
from projects.diffu_base.config.files import config_names


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    return {entry.name: entry for entry in zoo()}


def test_published_figures_are_those_of_the_configs(entries):
    assert entries["diffu_dino/dino-resnet/coco-r50-4scales-50ep"].published == 51.9
    of_masks = entries["diffusion_inst/coco-r50-5x"]
    assert (of_masks.published, of_masks.is_mask_ap) == (37.3, True)
    assert of_masks.summary == "DiffusionInst, ResNet-50, COCO, 60 epochs"
    assert entries["diffusion_inst/diffusiondet-coco-r50-5x"].published is None


def test_every_table_names_configs_that_are_there(entries):
    assert WEIGHTS.keys() | GFLOPS.keys() <= set(config_names()) and WEIGHTS.keys() <= entries.keys()
    assert not any("/ablations/" in name or "custom" in name for name in entries)


def test_a_sentence_says_how_to_get_weights():
    name = "diffu_dino/dino-resnet/coco-r50-4scales-50ep"
    assert "https://huggingface.co/MBadran/DiffuDETR" in how_to_get(name) and "checkpoint=FILE" in how_to_get(name)
    assert "has no published weights" in how_to_get("diffu_dino/demo/digits")
    assert Weights("http://x/a.pth", "a.pth").is_file and not Weights("http://x/a").is_file


def test_the_command_prints_a_row_for_each(entries, capsys):
    assert main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(entries)
    assert (
        "https://huggingface.co/MBadran/DiffuDETR/tree/main/checkpoints"
        in lines[2 + list(entries).index("diffu_dino/dino-resnet/coco-r50-4scales-50ep")]
    )
