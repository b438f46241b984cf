"""tools/visualize.py on a tiny model with masks and data in COCO's format."""

import json

import pytest

from tests.tools.ablation_case import CONFIG_WITH_MASKS, Case
from tests.tools.pictures import panels
from tools.visualize import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("visualize"), CONFIG_WITH_MASKS)


def visualize(case, folder, *arguments):
    files = ("--config-file", case.file, "--checkpoint", case.checkpoint, "--output-dir", str(folder))
    main([*files, "--num-gpus", "0", *arguments, *case.opts])


def test_detections_denoising_and_curves_of_a_run_are_drawn(case, tmp_path, capsys):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"iteration": 1, "total_loss": 2.0}) + "\n")
    visualize(case, tmp_path, "--metrics", str(metrics), "--num-scenes", "2", "model.sampler.num_steps=4")
    paths = [tmp_path / name for name in ("detections.png", "denoising.png", "training.png")]
    assert capsys.readouterr().out.splitlines()[-3:] == [str(path) for path in paths]
    assert panels(paths[0]) == (1, 4)
    assert panels(paths[1]) == (3, 5)  # four passes, and a row of masks
    assert paths[2].stat().st_size > 10_000


def test_a_checkpoint_that_is_not_there_is_named(case, tmp_path):
    with pytest.raises(ValueError, match="none.pth"):
        main(["--config-file", case.file, "--checkpoint", "none.pth", "--output-dir", str(tmp_path), *case.opts])
