"""tools/compare_trainings.py on results that are written down here."""

import json

import pytest

from tools.compare_trainings import main, spread


def row(*values, **more):
    """A row of ablation.json with an AP per noise seed; AP50 and AP75 lie 20 above and 10 below."""
    runs = {str(i): {"all": {"AP": ap, "AP50": ap + 20, "AP75": ap - 10}} for i, ap in enumerate(values)}
    return {"runs": runs, **more}


@pytest.fixture
def results(tmp_path):
    models = {
        "A, seed 0": {
            "rows": {"one": row(40.0, 42.0, flops={"total": 2e9}, latency=0.05), "two": {"note": "no", "runs": {}}}
        },
        "A, seed 1": {"rows": {"one": row(45.0, flops={"total": 2e9}, latency=0.07)}},
        "B, seed 7": {"rows": {"one": row(50.0), "three": row(51.0)}},
        "untrained": {"rows": {"one": row(1.0)}},
    }
    file = tmp_path / "ablation.json"
    file.write_text(json.dumps({"models": models}))
    return file


def test_a_models_trainings_are_averaged_and_its_noise_seeds_first(results, tmp_path):
    trainings = main([str(results), "--output-dir", str(tmp_path / "out")])
    assert list(trainings) == [("A", "one"), ("B", "one"), ("B", "three")]
    assert trainings["A", "one"]["AP"] == [41.0, 45.0]
    assert spread(trainings["A", "one"]["AP"]) == pytest.approx((43.0, 8**0.5))


def test_the_table_and_the_plot_are_written(results, tmp_path):
    main([str(results), "--output-dir", str(tmp_path / "out"), "--rows", "one"])
    lines = (tmp_path / "out" / "trainings.md").read_text().splitlines()
    words = [[word.strip() for word in line.strip("|").split("|")] for line in lines]
    assert words[2] == ["A", "one", "2", "43.0 ± 2.8", "63.0 ± 2.8", "33.0 ± 2.8", "2.00", "60"]
    assert words[3] == ["B", "one", "1", "50.0 ± 0.0", "70.0 ± 0.0", "40.0 ± 0.0", "-", "-"] and len(words) == 4
    assert (tmp_path / "out" / "trainings.png").stat().st_size > 1000


def test_results_without_trainings_are_refused(results, tmp_path):
    with pytest.raises(SystemExit, match="seed N"):
        main([str(results), "--output-dir", str(tmp_path), "--rows", "ten"])
