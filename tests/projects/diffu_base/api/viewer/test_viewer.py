"""The denoising viewer: what it records, and its page in a browser."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_convert, box_iou

from layers_diffu_detr.ldm.renewal import DistinctRenewal, DropDuplicates
from projects.diffu_base import from_pretrained
from projects.diffu_base.api.settings import Settings
from projects.diffu_base.api.viewer import view_page
from projects.diffu_base.api.viewer.record import record
from projects.diffu_base.cli import main
from tests.support.browser import opened
from tests.support.model_folders import DIFFU_DINO, DIFFUSION_INST, DINO, write_small_folder
from tests.support.report_case import write_case

pytestmark = pytest.mark.slow

PIXELS = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
ALL = Settings(threshold=0.0, boxes=24)


@pytest.fixture(scope="module")
def with_masks(tmp_path_factory):
    return write_small_folder(tmp_path_factory.mktemp("inst"), DIFFUSION_INST)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return from_pretrained(write_small_folder(tmp_path_factory.mktemp("dino"), DIFFU_DINO), device="cpu")


def inputs_of(detector):
    return {"image": detector.as_input(PIXELS), "height": 60, "width": 90}


def test_what_is_recorded_is_what_the_model_does(detector):
    steps = detector.model.sampler.num_steps
    draw = record(detector, inputs_of(detector), Settings(threshold=0.0, seed=4))
    (expected,) = detector.predict(PIXELS, threshold=0.0, seed=4)
    assert len(draw["passes"]) == steps and draw["seed"] == 4
    assert [row[5] for row in draw["result"]["boxes"]] == pytest.approx(expected.scores.tolist(), abs=1e-3)
    assert [row[4] for row in draw["result"]["boxes"]] == expected.labels.tolist()
    corners = np.array(draw["result"]["boxes"])[:, :4] * [0.09, 0.06, 0.09, 0.06]
    np.testing.assert_allclose(corners[:, 0], expected.boxes[:, 0], atol=0.1)
    np.testing.assert_allclose(corners[:, 1] + corners[:, 3], expected.boxes[:, 3], atol=0.2)
    # The best that a pass detects alone is the best score of its queries.
    for each in draw["passes"]:
        assert each["found"]["boxes"][0][5] == pytest.approx(max(each["scores"]), abs=2e-3)


def test_queries_that_are_renewed_are_those_at_or_below_the_threshold(detector):
    draw = record(detector, inputs_of(detector), ALL)
    first, second = draw["passes"][:2]
    threshold = detector.model.sampler.renewal.threshold(second["t"], detector.model.diffusion.num_timesteps)
    assert first["renewed"] == [int(score <= threshold) for score in first["scores"]]
    assert not any(draw["passes"][-1]["renewed"])


def test_every_kind_of_renewal_tells_which_queries_it_renews(detector, monkeypatch):
    monkeypatch.setattr(detector.model.sampler, "renewal", DistinctRenewal(iou_threshold=0.3))
    first = record(detector, inputs_of(detector), ALL)["passes"][0]
    kept = ~torch.tensor(first["renewed"], dtype=torch.bool)
    assert 0 < kept.sum() < len(kept)
    boxes = box_convert(torch.tensor(first["out"]).float(), "xywh", "xyxy")
    assert (box_iou(boxes[kept], boxes[kept]) - torch.eye(int(kept.sum()))).max() < 0.32  # boxes are rounded
    monkeypatch.setattr(detector.model.sampler, "renewal", DropDuplicates())
    assert not any(record(detector, inputs_of(detector), ALL)["passes"][0]["renewed"])  # the others leave


def test_the_model_is_as_before(detector):
    sampler, ensemble = detector.model.sampler, detector.model.sampler.ensemble
    view_page(detector, PIXELS, "a.png", seeds=[0], settings=ALL)
    assert detector.model.sampler is sampler and sampler.ensemble is ensemble and detector.model.num_boxes != ALL.boxes


def test_a_model_without_diffusion_has_nothing_to_view(tmp_path):
    baseline = from_pretrained(write_small_folder(tmp_path, DINO), device="cpu")
    with pytest.raises(ValueError, match="no diffusion: it makes one pass"):
        view_page(baseline, PIXELS, "a.png")


def test_a_draw_of_noise_is_needed(detector):
    with pytest.raises(ValueError, match="seeds is empty"):
        view_page(detector, PIXELS, "a.png", seeds=[])


def test_the_page_goes_from_noise_to_the_result(with_masks, tmp_path, capsys):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    arguments = ("--boxes", "12", "--steps", "2", "--threshold", "0", "--seeds", "3", "5", "--device", "cpu")
    assert (
        main(["view", str(tmp_path / "a.png"), "--model", str(with_masks), "--output", str(tmp_path), *arguments]) == 0
    )
    path = tmp_path / "a.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    with opened(path) as page:
        assert page.locator("#in figcaption").inner_text().startswith("Pass 1: boxes that go in\nAll boxes are noise.")
        assert page.locator("#in rect").count() == page.locator("#out rect").count() == 12
        noise = page.locator("#in rect").evaluate_all("rects => rects.map((rect) => rect.getAttribute('x')).join()")
        page.locator("#seed").select_option("1")
        assert noise != page.locator("#in rect").evaluate_all("all => all.map((rect) => rect.getAttribute('x')).join()")
        page.locator("#table tbody tr").nth(1).click()
        assert "Pass 2" in page.locator("#out figcaption").inner_text()
        renewed = int(page.locator("#table tbody tr").nth(0).locator("td").nth(4).inner_text())
        assert page.locator("#in rect.renewed").count() == renewed
        assert re.match(rf"Pass 2: boxes that go in\n{renewed} of 12 ", page.locator("#in figcaption").inner_text())
        page.locator("#least").fill("0.95")
        assert page.locator("#out rect").count() == 0
        assert page.locator(".masks").is_visible()
        page.locator("#masks").uncheck()
        assert not page.locator(".masks").is_visible()
        page.locator("#pass").fill("2")
        assert page.locator("#where").inner_text() == "result" and not page.locator("#in").is_visible()
        assert page.locator("#found text").count() > 0


def test_a_box_is_pointed_at_in_both_pictures(detector, tmp_path):
    path = tmp_path / "b.html"
    path.write_text(view_page(detector, PIXELS, "<b>.png", seeds=[0], settings=ALL))
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text())[1])
    with opened(path) as page:
        assert "<b>.png" in page.locator("header").inner_text()  # the name of a file is no HTML
        page.locator("#out rect").last.dispatch_event("mouseenter")
        assert page.locator("#in .near").count() == page.locator("#out .near").count() == 1
        best = int(np.argmax(data["draws"][0]["passes"][0]["scores"]))
        assert page.locator("#hovered").inner_text().startswith(f"Box {best}: ")
        page.locator("#play").click()
        page.wait_for_function("document.getElementById('where').textContent === 'result'", timeout=10_000)


def test_an_id_names_an_image_of_the_runs_evaluation(detector, tmp_path, capsys):
    run = write_case(tmp_path)
    write_small_folder(run / "model_final", DIFFU_DINO)
    page = ("--output", str(tmp_path / "pages"), "--seeds", "0", "--device", "cpu")
    assert main(["view", "7", "--model", str(run), *page]) == 0
    assert (tmp_path / "pages" / "6.html").is_file()  # image 7 is the file 6.jpg
    assert main(["view", "99", "--model", str(run), *page]) == 2
    assert main(["view", "7", "--model", str(run / "model_final"), *page]) == 2
    errors = capsys.readouterr().err
    assert "image id 99 is not in" in errors and "holds no detections.npz" in errors
