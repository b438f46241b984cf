"""tools/estimate_training.py: what it counts, and its arithmetic."""

from pathlib import Path

import pytest

from tests.support.tiny_models import tiny_config
from tools.analyze_model import main as analyze
from tools.estimate_training import Cost, main

CONFIG = str(Path(__file__).with_name("measured_config.py"))


def test_hours_are_operations_over_the_rate():
    cost = Cost("a.py", iterations=1000, batch=16, multiply_adds=300 * 10**9)
    # 2 operations x 3 passes x 300e9 x 16,000 images over 8 x 20e12 per second: 180 s
    assert cost.hours(gpus=8, tflops=20) == pytest.approx(180 / 3600)


def test_an_image_counts_with_the_denoising_queries_of_training(capsys):
    (cost,) = main([CONFIG, "--size", "64", "96", "--gpus", "4", "--tflops", "10"])
    model = tiny_config("diffu_dino_r50")
    plain = ["--config-file", CONFIG, "--size", "64", "96", "--steps", "1"]
    more = analyze([*plain, f"model.num_queries={model.num_queries + 2 * model.dn_number}"])
    assert cost.multiply_adds == more["flops"][1]["mean"] > analyze(plain)["flops"][1]["mean"]
    assert "hours on 4 GPUs (estimate)" in capsys.readouterr().out


def test_markdown_has_a_row_per_config(capsys):
    main([CONFIG, CONFIG, "--size", "64", "96", "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[1] == "| --- | --- | --- | --- | --- |" and lines[2].startswith(f"| `{CONFIG}` | ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--gpus", "0"], "--gpus 0"), (["--tflops", "-1"], "--tflops -1"), (["--size", "20", "96"], "20x96")],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([CONFIG, *arguments])


def test_a_config_of_another_family_is_refused():
    config = Path(__file__).parents[2] / "projects" / "diffusion_inst" / "configs" / "coco-r50-5x.py"
    with pytest.raises(SystemExit, match="coco-r50-5x.py is no config of the DETR family"):
        main([str(config)])
