"""tools/analyze_model.py: what it counts, prints and writes."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_models import tiny_model
from tests.tools.measured import SIZES
from tools.analyze_model import main

pytestmark = pytest.mark.slow

CONFIG = str(Path(__file__).with_name("measured_config.py"))


def analyze(*arguments: str) -> dict:
    return main(["--config-file", CONFIG, *arguments])


def total(result: dict, number: int = 1) -> float:
    return result["flops"][number]["mean"]


def test_evaluations_are_counted_side_by_side_and_grow_linearly(capsys):
    result = analyze("--size", "64", "96")
    assert list(result["flops"]) == [1, 3, 5]
    assert total(result, 5) - total(result, 3) == total(result, 3) - total(result, 1) > 0
    backbone = {result["flops"][n]["by_module"]["backbone"] for n in (1, 3, 5)}
    assert len(backbone) == 1 and backbone != {0}
    text = capsys.readouterr().out
    assert f"{total(result, 3) / total(result, 1):.3f}" in text
    assert "multiply-add counts one" in text and "GPUs" not in text


def test_the_tree_goes_down_to_the_depth_asked_for(capsys):
    result = analyze("--size", "64", "96", "--steps", "1", "--depth", "1")
    lines = capsys.readouterr().out.splitlines()
    rows = [row.split() for row in lines[4 : lines.index("", 4)]]  # below the header and its rule
    assert [row[0] for row in rows] == ["model", "backbone", "neck", "transformer", "label_enc"]
    assert f"{result['parameters']['']:,}" == rows[0][1]


def test_compiled_layers_are_counted_as_they_are():
    words = ("train.compile=True", "train.activation_checkpointing=True")
    plain, compiled = (analyze("--size", "64", "96", "--steps", "1", *overrides) for overrides in ((), words))
    assert total(compiled) == total(plain)


def test_over_the_data_set_each_image_counts_once():
    by_size = {size: total(analyze("--size", *map(str, size), "--steps", "1")) for size in set(SIZES[:3])}
    result = analyze("--num-images", "3", "--steps", "1")
    landscape, portrait = by_size[SIZES[0]], by_size[SIZES[1]]
    assert result["images"] == [list(size) for size in SIZES[:3]]
    assert total(result) == pytest.approx((2 * landscape + portrait) / 3)
    assert result["flops"][1]["std"] == pytest.approx(abs(landscape - portrait) * 2**0.5 / 3)


def test_json_has_every_module_the_convention_and_the_machine(tmp_path):
    result = analyze("--size", "64", "96", "--steps", "1", "2", "--json", str(tmp_path / "counts.json"))
    written = json.loads((tmp_path / "counts.json").read_text())
    assert written["flops"]["2"]["by_module"] == result["flops"][2]["by_module"]
    assert written["parameters"][""] == result["parameters"][""]
    assert "multiply-add counts one" in written["convention"]
    assert written["environment"]["device_type"] == "cpu" and "training" not in written


def test_parameters_of_children_add_up_and_shared_ones_count_once():
    counts = analyze("--size", "64", "96", "--steps", "1")["parameters"]
    model = tiny_model("diffu_dino_r50")
    assert counts[""] == sum(parameter.numel() for parameter in model.parameters())
    for name, module in model.named_modules():
        children = [f"{name}.{child}".removeprefix(".") for child, _ in module.named_children()]
        own = sum(p.numel() for n, p in model.named_parameters() if n.rpartition(".")[0] == name)
        assert counts[name] == own + sum(counts.get(child, 0) for child in children)


def test_training_takes_hours_by_the_products_of_its_schedule_and_the_rate_of_the_gpus(capsys):
    arguments = ("--size", "64", "96", "--steps", "1", "--gpus", "4", "--tflops", "2", "train.max_iter=1_000_000")
    training = analyze(*arguments)["training"]
    assert training["iterations"] == 1_000_000 and training["batch"] == 2
    operations = 2 * training["flops"] * 2_000_000
    assert training["hours"] == pytest.approx(operations / (4 * 2e12) / 3600)
    assert 2 < training["flops"] / total(analyze("--size", "64", "96", "--steps", "1")) < 30  # and denoising queries
    assert "hours on 4 GPUs (estimate)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "16", "96"), "image size 16x96: both sides"),
        (("--steps", "0"), "--steps 0: 100 timesteps allow 1 to 99"),
        (("--num-images", "0"), "--num-images 0: at least 1"),
        (("--num-images", "5"), "--num-images 5: the test data set has 4 images"),
        (("--gpus", "0"), "--gpus 0 --tflops 5: both must be positive"),
        (("--gpus", "1", "--tflops", "-1"), "--gpus 1 --tflops -1"),
        (("modell.num_queries=10",), "override 'modell.num_queries': there is no 'modell'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        analyze(*arguments)


def test_a_data_set_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    config = Path(CONFIG).parents[2] / "projects/diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py"
    with pytest.raises(ValueError, match="--num-images 2 needs the config's test data set: .*--size"):
        main(["--config-file", str(config), "--num-images", "2"])
