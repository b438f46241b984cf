import os

import numpy as np
import pytest

from tools.benchmark_evaluators import compare, in_new_process, main, write_case

SMALL = ["--images", "20", "--boxes", "600", "--classes", "7"]


def test_compares_the_back_ends(monkeypatch, capsys):
    # In this process, as each new one takes seconds to import PyTorch.
    monkeypatch.setattr("tools.benchmark_evaluators.in_new_process", lambda function, *arguments: function(*arguments))
    main(SMALL)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("20 images, 600 boxes, 7 classes, max_dets 100")
    assert [line.split()[0] for line in lines[2:]] == ["none", "hotcoco", "pycocotools"]
    assert all(line.endswith("19 equal to the last bit") for line in lines[3:])


def test_new_processes_are_new():
    assert len({os.getpid(), in_new_process(os.getpid), in_new_process(os.getpid)}) == 3


def test_a_back_end_that_is_missing_ends_it(monkeypatch):
    monkeypatch.setattr("datasets_utils.evaluation.backends.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=".*'hotcoco'"):
        main(SMALL)


def test_differences_are_shown():
    nan = float("nan")
    assert compare(np.array([0.5, nan]), np.array([0.5, nan])) == "2 equal to the last bit"
    assert compare(np.array([0.5, nan]), np.array([0.5 + 2e-16, nan])) == "2 differ by up to 2e-16"


@pytest.mark.parametrize("style", ["coco", "lvis"])
def test_a_seed_gives_the_same_case(style, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_case(str(tmp_path / name), style, 5, 40, 7, seed=3)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 2
    text = "ground_truth.json"
    assert (tmp_path / "one" / text).read_text() == (tmp_path / "two" / text).read_text()
