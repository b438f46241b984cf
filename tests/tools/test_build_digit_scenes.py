import json
from pathlib import Path

import pytest

from tools.build_digit_scenes import main


def test_builds_where_detectron2_looks_and_is_quick_the_second_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    small = ["digit_scenes.num_train=2", "digit_scenes.num_val=1"]
    main(small)
    assert (tmp_path / "digit_scenes/annotations/instances_val.json").is_file()
    main(small)
    assert "already there" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(ValueError, match="num_val"):
        main(["digit_scenes.num_train=2", "digit_scenes.num_val=2"])


LVIS_CONFIG = Path(__file__).resolve().parents[2] / "projects/diffu_dino/configs/demo/digits-lvis.py"


@pytest.mark.parametrize("chosen", [["--format", "lvis"], ["--config-file", str(LVIS_CONFIG)]])
def test_long_tailed_scenes_lie_beside_the_others(chosen, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    main([*chosen, "digit_scenes.num_train=2", "digit_scenes.num_val=1", "digit_scenes.lvis.rare=1"])
    content = json.loads((tmp_path / "digit_scenes_lvis/annotations/instances_val.json").read_text())
    assert {"neg_category_ids", "not_exhaustive_category_ids"} <= content["images"][0].keys()
    assert "frequency" in content["categories"][0]
