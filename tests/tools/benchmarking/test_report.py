"""What measured turns look like, and equality of what two variants computed."""

import pytest

from tools.benchmarking.report import difference, rows, text


def variant(*seconds: float, outputs: object = None) -> dict:
    """Half of each turn is the encoder's."""
    turns = [{"total": s, "encoder": s / 2, "rest": s / 2} for s in seconds]
    products = {"total": 1_000_000_000, "encoder": 600_000_000, "rest": 400_000_000}
    return {"turns": turns, "outputs": outputs, "products": products, "rate": 1e8, "peak": 50e6, "tensors": 40e6}


def test_a_part_has_its_median_its_products_and_the_distance_from_the_floor():
    assert rows(variant(20, 24, 22))[:3] == [
        ["part", "ms", "spread", "G products", "x floor"],
        ["total", "22000.0", "2000.0", "1.00", "2.20"],  # the floor is 1e9 / 1e8 = 10 s
        ["encoder", "11000.0", "1000.0", "0.60", "1.83"],
    ]


def test_variants_stand_side_by_side_with_the_median_ratio_of_their_turns():
    a, b = variant(20, 24, 22), variant(40, 40, 44)
    del b["turns"][0]["encoder"], b["turns"][1]["encoder"], b["turns"][2]["encoder"]
    header, total, encoder, _ = rows(a, b)
    assert header[5:] == ["B ms", "spread", "A/B"]
    assert total[5:] == ["40000.0", "2000.0", "0.500"]
    assert encoder[5:] == ["0.0", "0.0", "-"]


def test_sentences_have_speed_memory_floor_and_equality():
    measured = {"A": variant(20, 24, 22, outputs={"loss": 1.0}), "B": variant(40, 40, 44, outputs={"loss": 1.0})}
    lines = text(measured, images=2).splitlines()
    assert "A: 0.0909 images/s, peak memory 50 MB, tensors of a turn 40 MB" in lines
    assert any("1.0 G multiply-adds, which take 10000.0 ms at this machine's 0.1 G/s" in line for line in lines)
    assert lines[-1].startswith("losses equal")


def test_losses_are_compared_by_name():
    assert "equal: they differ by up to 5.00e-06" in difference({"a": 2.0}, {"a": 2.00001})
    assert "NOT EQUAL: they differ by up to 1.00e-01" in difference({"a": 2.0, "b": 1e-3}, {"a": 2.0, "b": 1.1e-3})
    assert difference({"a": 1.0, "b": 1.0}, {"a": 1.0, "c": 1.0}).endswith("only one variant has b, c")


BOX, FAR = [10.0, 20.0, 30.0, 40.0], [50.0, 60.0, 90.0, 95.0]


def test_detections_in_another_order_are_equal():
    first, second = [[*BOX, 0.5, 1], [*FAR, 0.5, 1]], [[*FAR, 0.5, 1], [*BOX, 0.5, 1]]
    assert difference([first], [second]).startswith("detections equal: boxes (in pixels) and scores differ by up to 0")
    assert "detections equal" in difference([[]], [[]])


@pytest.mark.parametrize(
    ("other", "apart", "alone"),
    [
        ([[10.0, 20.0, 30.0, 40.25, 0.5, 1], [*FAR, 0.4, 2]], "2.50e-01", 0),  # a side has moved
        ([[*BOX, 0.75, 1], [*FAR, 0.4, 2]], "2.50e-01", 0),  # another score
        ([[*BOX, 0.5, 3], [*FAR, 0.4, 2]], "0.00e+00", 2),  # another class
        ([[*FAR, 0.4, 2]], "0.00e+00", 1),  # one is missing
        ([], "0.00e+00", 2),
    ],
)
def test_detections_that_differ_are_told(other, apart, alone):
    sentence = difference([[[*BOX, 0.5, 1], [*FAR, 0.4, 2]]], [other])
    assert sentence.startswith("detections NOT EQUAL") and f"up to {apart}; {alone} have no partner" in sentence
