import pytest

from tools.build_digit_scenes import main


def test_builds_where_detectron2_looks_and_is_quick_the_second_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    small = ["digit_scenes.num_train=2", "digit_scenes.num_val=1"]
    main(small)
    assert (tmp_path / "digit_scenes/annotations/instances_val.json").is_file()
    main(small)
    assert "already there" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit, match="num_val"):
        main(["digit_scenes.num_train=2", "digit_scenes.num_val=2"])
