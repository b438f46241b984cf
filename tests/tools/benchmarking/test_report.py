"""What is collected from turns, and how it reads."""

import pytest

from tools.benchmarking.report import collect, contrast, outputs_line, text

FINISHED = {
    "memory": {"peak": 50_000_000, "process": 200_000_000, "tensors": 40_000_000},
    "products": {"total": 1000, "parts": {"encoder": 600, "decoder": 300}},
}
RATE = 100.0
LOSSES = {"loss_a": 1.0, "total_loss": 2.0}


def turns(*seconds: float) -> list[dict]:
    """Half of each turn is the encoder's, a quarter the decoder's."""
    return [{"total": s, "parts": {"encoder": s / 2, "decoder": s / 4}} for s in seconds]


def measured() -> dict:
    results = {
        "A": collect(turns(20, 24, 22), FINISHED, RATE, images=2),
        "B": collect(
            turns(40, 40, 44), {**FINISHED, "memory": {"peak": 100_000_000, "process": 1, "tensors": 1}}, RATE, images=2
        ),
    }
    return {
        "title": "inference",
        "words": {"A": "as configured", "B": "A with cache=off"},
        "rate": {"best": RATE},
        "data": 0.005,
        "notes": ["something to know"],
        "results": results,
        "contrast": contrast(results, {"A": LOSSES, "B": LOSSES}),
    }


def test_rows_have_median_products_and_the_distance_from_the_floor():
    result = collect(turns(20, 24, 22), FINISHED, RATE, images=2)
    assert result["total"]["median"] == 22 and result["total"]["spread"] == 2
    assert result["total"]["floor"] == 10 and result["total"]["times_floor"] == 2.2
    assert result["parts"]["encoder"]["times_floor"] == pytest.approx(11 / 6)
    assert result["images_per_second"] == pytest.approx(2 / 22)


def test_what_no_part_has_is_the_rest():
    rest = collect(turns(20, 24, 22), FINISHED, RATE, images=1)["parts"]["rest"]
    assert rest["seconds"] == [5, 6, 5.5] and rest["products"] == 100


def test_contrast_has_ratios_of_time_and_memory():
    entry = measured()["contrast"]
    assert entry["total"]["ratio"] == 22 / 40 and entry["parts"]["encoder"]["ratio"] == 22 / 40
    assert entry["total"]["paired"]["median"] == 0.5
    assert entry["memory"] == 0.5 and entry["outputs"]["equal"]


def test_both_settings_stand_side_by_side():
    lines = text(measured()).splitlines()
    assert lines[:3] == ["== inference", "A: as configured", "B: A with cache=off"]
    row = next(line.split() for line in lines if line.startswith("total"))
    assert row == ["total", "22000.0", "2000.0", "0.00", "2.20", "40000.0", "2000.0", "0.550", "0.500", "to", "0.550"]
    assert "A/B: time 0.550, peak memory 0.500" in lines
    assert "A: 0.0909 images/s, peak memory 50 MB (process 200 MB), tensors of a turn 40 MB" in lines
    assert "data: 5.0 ms a batch by the config's loader, with nothing beside it" in lines
    assert "note: something to know" in lines
    assert lines[-1] == "losses equal: greatest difference 0.00e+00, relative 0.00e+00, of 2 losses"


def test_a_part_of_one_setting_only_has_no_ratio():
    entry = measured()
    del entry["results"]["B"]["parts"]["decoder"], entry["contrast"]["parts"]["decoder"]
    row = next(line.split() for line in text(entry).splitlines() if line.strip().startswith("decoder"))
    assert row[-4:] == ["-"] * 4


def test_one_setting_has_neither_ratios_nor_a_second_column():
    entry = measured()
    del entry["results"]["B"], entry["contrast"], entry["words"]["B"]
    lines = text(entry).splitlines()
    assert lines[3].split("  ")[0] == "part" and "A/B" not in text(entry)
    assert next(line.split() for line in lines if line.startswith("total")) == [
        "total",
        "22000.0",
        "2000.0",
        "0.00",
        "2.20",
    ]


def test_unequal_outputs_are_shouted():
    detections = {"equal": False, "detections": 300, "unpaired": 2, "max_pixels": 0.5, "max_score": 1e-4}
    assert outputs_line(detections).startswith("detections NOT EQUAL: greatest difference of boxes 5.00e-01 px")
    assert outputs_line(detections).endswith("over 300 detections; 2 without a partner within a pixel")
    assert (
        outputs_line({"equal": False, "names_of_one_only": ["loss_x"]})
        == "losses NOT EQUAL: only one setting has loss_x"
    )
