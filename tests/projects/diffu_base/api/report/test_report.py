"""The report's files, and its page in a browser."""

import json
import shutil

import pytest

from projects.diffu_base.api.model_folder import FILES, ModelInfo
from projects.diffu_base.api.report import REPORT, gallery, give_thresholds, write_report
from projects.diffu_base.cli import main
from tests.datasets_utils.evaluation import evaluation_case as case
from tests.support.browser import opened
from tests.support.report_case import add_wrong_labels, write_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with masks, whose report is written."""
    folder = write_case(tmp_path_factory.mktemp("report"), masks=True)
    add_wrong_labels(folder.parent)
    write_report(folder)
    return folder


def test_thresholds_are_those_of_the_models_classes_in_its_order(run):
    written = json.loads((run / "thresholds.json").read_text())
    assert [row["name"] for row in written["classes"]] == list(case.NAMES)
    assert [row["category_id"] for row in written["classes"]] == list(case.CATEGORY_IDS)
    assert 0 < written["threshold"] < 1
    *with_objects, kite = written["classes"]
    assert all(0 < row["threshold"] < 1 and 0 < row["f1"] <= 1 for row in with_objects)
    assert kite["threshold"] is None and kite["objects"] == 0  # nothing to measure with


def test_a_model_folder_gets_the_thresholds_of_its_classes_alone(run, tmp_path):
    written = json.loads((run / "thresholds.json").read_text())
    info = ModelInfo(
        classes=list(case.NAMES), category_ids=list(case.CATEGORY_IDS), input_format="RGB", weights="plain"
    )
    for names, expected in ((case.NAMES, True), (case.NAMES[::-1], False)):
        for file in FILES:
            (tmp_path / file).touch()
        info.model_copy(update={"classes": list(names)}).write(tmp_path)
        give_thresholds(run, tmp_path)
        found = ModelInfo.read(tmp_path).thresholds
        assert (found is not None) == expected
        if found:
            assert found[0] == written["classes"][0]["threshold"] and found[-1] == written["threshold"]


def test_the_page_is_one_file_that_asks_for_nothing_else(run):
    page = (run / REPORT).read_text()
    assert "src=" not in page.replace("src: image", "") and "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_reader_can_sort_choose_filter_and_enlarge(run):
    with opened(run / REPORT) as page:
        assert page.locator(".tile").first.inner_text().startswith("AP\n")
        assert page.locator("#classes tbody:visible tr").count() == len(case.NAMES)
        page.locator("#classes th:visible", has_text="AP50").click()
        values = page.locator("#classes tbody:visible tr td:nth-child(4)").all_inner_texts()
        numbers = [float(value) for value in values if value != "–"]
        assert numbers == sorted(numbers, reverse=True) and values[-1] == "–"
        before = page.locator("#f1 path").first.get_attribute("d")
        page.locator("#classes a:visible", has_text="dog").click()
        assert page.locator("#curve-class").input_value() == str(case.NAMES.index("dog") + 1)
        assert page.locator("#f1 path").first.get_attribute("d") != before
        boxes = page.locator(".tiles:visible").inner_text()
        page.locator("#tasks button", has_text="masks").click()
        assert page.locator(".tiles:visible").inner_text() != boxes


def test_a_reader_sees_the_worst_image_first_and_the_kinds_of_error_alone(run):
    with opened(run / REPORT) as page:
        cards = page.locator("#gallery .card")
        f1 = [float(text.removeprefix("F1 ")) for text in cards.locator(".name span").all_inner_texts()]
        assert len(f1) == case.NUM_IMAGES and f1 == sorted(f1) and f1[0] < f1[-1]
        missed = page.locator("#kinds .chip", has_text="missed")
        missed.click()
        assert 0 < cards.count() < case.NUM_IMAGES
        assert all("missed" in text for text in cards.locator(".note").all_inner_texts())
        assert page.locator("#matching").inner_text() == f"{cards.count()} of {case.NUM_IMAGES} images"
        missed.click()
        page.fill("#file-name", "7.jpg")
        assert cards.locator(".name b").all_inner_texts() == ["7.jpg"]
        picture = cards.locator("img").first
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == case.WIDTH
        cards.first.click()
        assert page.locator("dialog .card").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("dialog .card").is_visible()


def test_labels_that_confident_detections_contradict_are_shown(run):
    with opened(run / REPORT) as page:
        said = page.locator("#suspects small").all_inner_texts()
        assert any(text.startswith("labelled dog; the model sees") for text in said)


@pytest.mark.parametrize(("lvis", "detections"), [(True, True), (False, False)], ids=["LVIS style", "no detections"])
def test_other_evaluations_are_reported_too(tmp_path, lvis, detections):
    with opened(write_report(write_case(tmp_path, lvis=lvis, detections=detections))) as page:
        assert page.locator("#gallery .card").count() == case.NUM_IMAGES
        if not detections:
            assert "None: no detection" in page.locator("#labels").inner_text()


def test_images_that_are_gone_are_said_to_be(tmp_path):
    run = write_case(tmp_path)
    shutil.rmtree(tmp_path / "images")
    with opened(write_report(run)) as page:
        assert page.locator("#gallery .gone").count() == 2 * case.NUM_IMAGES


def test_many_images_stay_within_the_bytes_they_may_take(tmp_path, monkeypatch):
    run = write_case(tmp_path)
    large = write_report(run).stat().st_size
    monkeypatch.setattr(gallery, "MOST_BYTES", 30_000)
    monkeypatch.setattr(gallery, "MOST_IMAGES", 8)
    small = write_report(run)
    assert small.stat().st_size < large - 100_000
    assert small.read_text().count("data:image/webp") == 8
    assert sum(len(part) for part in small.read_text().split('"') if part.startswith("data:image")) <= 30_000


def test_the_command_takes_a_folder_that_was_moved(tmp_path, capsys):
    run = write_case(tmp_path / "there")
    moved = shutil.move(tmp_path / "there", tmp_path / "here") / "run"
    assert main(["report", str(moved)]) == 2
    assert "val.json': no such file" in capsys.readouterr().err
    where = ("--annotations", str(tmp_path / "here" / "val.json"), "--images", str(tmp_path / "here" / "images"))
    assert main(["report", str(moved), *where]) == 0
    assert capsys.readouterr().out.strip() == str(moved / REPORT) and not run.exists()
    assert (
        "could not be read" in (moved / REPORT).read_text() and '"thumbnail":null' not in (moved / REPORT).read_text()
    )


def test_a_folder_without_an_evaluation_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no detections.npz" in capsys.readouterr().err
