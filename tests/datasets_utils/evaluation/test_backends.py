import contextlib
import io
import json
from unittest import mock

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasets_utils.evaluation import backends as evaluation_backends
from datasets_utils.evaluation.backends import COCO_BACKENDS, LVIS_BACKENDS, choose_backend
from datasets_utils.evaluation.detections import DetectionTable
from tests.datasets_utils.evaluation import evaluation_case as case


@pytest.fixture(scope="module")
def detections():
    parts = [
        DetectionTable.from_instances(inputs["image_id"], outputs["instances"], np.array(case.CATEGORY_IDS))
        for inputs, outputs in case.predictions()
    ]
    return DetectionTable.concatenate(parts)


@pytest.fixture(scope="module")
def lvis():
    """The lvis package; it needs OpenCV, and that libraries of the system."""
    return pytest.importorskip("lvis", exc_type=ImportError)


@pytest.fixture(scope="module")
def json_files(tmp_path_factory):
    """Files of the case in both styles."""
    folder = tmp_path_factory.mktemp("ground_truth")
    for style in ("coco", "lvis"):
        (folder / style).write_text(json.dumps(case.ground_truth(lvis=style == "lvis")))
    return {style: str(folder / style) for style in ("coco", "lvis")}


def assert_same_numbers(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0, rel=0, nan_ok=True), name


def coco_by_hand(json_file, detections, task):
    """pycocotools as its users call it: the twelve numbers, and the precision."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(json_file)
        evaluation = COCOeval(truth, truth.loadRes(detections.to_dicts(evaluation_backends.SHAPES[task])), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("backend", COCO_BACKENDS)
def test_coco_style_has_the_bits_of_pycocotools(backend, task, json_files, detections):
    official = coco_by_hand(json_files["coco"], detections, task)
    summary, per_category = COCO_BACKENDS[backend](json_files["coco"]).score(detections, task, 100)
    assert min(official.stats) > 0, "numbers that tell something"
    assert_same_numbers(summary, dict(zip(summary, official.stats, strict=True)))
    expected = {}
    for index, category in enumerate(case.CATEGORY_IDS):
        values = official.eval["precision"][:, :, index, 0, 2]
        expected[category] = float("nan") if category == case.ABSENT else values.mean()
    assert_same_numbers(per_category, expected)


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("backend", LVIS_BACKENDS)
def test_lvis_style_has_the_bits_of_lvis(lvis, backend, task, json_files, detections):
    with mock.patch.object(np, "float", float, create=True):
        results = detections.to_dicts(evaluation_backends.SHAPES[task])
        official = lvis.LVISEval(json_files["lvis"], results, task)
        official.run()
    summary, _ = LVIS_BACKENDS[backend](json_files["lvis"]).score(detections, task, 300)
    assert len(official.results) == 13 and min(official.results.values()) > 0
    assert_same_numbers(summary, official.results)


@pytest.mark.parametrize("backend", LVIS_BACKENDS)
def test_more_detections_than_lvis_has_by_default_all_count(lvis, backend, json_files, detections):
    many = DetectionTable.concatenate([detections] * 8)  # 480 in an image
    expected = LVIS_BACKENDS["lvis"](json_files["lvis"]).score(many, "bbox", 500).summary
    assert_same_numbers(LVIS_BACKENDS[backend](json_files["lvis"]).score(many, "bbox", 500).summary, expected)


@pytest.mark.parametrize("backend", COCO_BACKENDS)
def test_another_limit_of_detections_counts_alike(backend, json_files, detections):
    expected = COCO_BACKENDS["pycocotools"](json_files["coco"]).score(detections, "bbox", 12)
    found = COCO_BACKENDS[backend](json_files["coco"]).score(detections, "bbox", 12)
    assert_same_numbers(found.summary, expected.summary)
    assert_same_numbers(found.per_category, expected.per_category)


def test_twelve_detections_find_less_than_a_hundred(json_files, detections):
    backend = COCO_BACKENDS["hotcoco"](json_files["coco"])
    few, many = (backend.score(detections, "bbox", limit).summary for limit in (12, 100))
    assert few["AR12"] < many["AR100"] and few["AR10"] == many["AR10"]


@pytest.mark.parametrize("backend", COCO_BACKENDS)
def test_categories_of_the_same_name_are_told_apart(backend, tmp_path, json_files, detections):
    truth = case.ground_truth()
    truth["categories"][1]["name"] = truth["categories"][0]["name"]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    expected = COCO_BACKENDS["pycocotools"](json_files["coco"]).score(detections, "bbox", 100).per_category
    found = COCO_BACKENDS[backend](str(tmp_path / "truth.json")).score(detections, "bbox", 100).per_category
    assert_same_numbers(found, expected)


def test_names_that_occur_twice_leave_the_precision_of_all_categories_unread(tmp_path, json_files, detections):
    """V3Det has 36 such names, and the precision of its 13,204 categories takes gigabytes."""
    truth = case.ground_truth()
    truth["categories"][1]["name"] = truth["categories"][0]["name"]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    read = []

    def ap_per_category(precision, category_ids):
        read.append(list(category_ids))
        return _ap_per_category(precision, category_ids)

    _ap_per_category = evaluation_backends._ap_per_category
    with mock.patch.object(evaluation_backends, "_ap_per_category", ap_per_category):
        COCO_BACKENDS["hotcoco"](str(tmp_path / "truth.json")).score(detections, "bbox", 100)
        assert read == [list(case.CATEGORY_IDS[:2])]
        COCO_BACKENDS["hotcoco"](json_files["coco"]).score(detections, "bbox", 100)
        assert len(read) == 1


@pytest.mark.parametrize("backend", [*COCO_BACKENDS.items(), *LVIS_BACKENDS.items()], ids=lambda item: item[1].__name__)
@pytest.mark.parametrize("content", [{}, {"annotations": []}], ids=["no key", "empty"])
def test_a_file_without_annotations_is_recognised(lvis, backend, content, tmp_path):
    truth = {key: value for key, value in case.ground_truth(lvis=True).items() if key != "annotations"}
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth | content))
    assert not backend[1](str(path)).has_annotations()
    path.write_text(json.dumps(case.ground_truth(lvis=True)))
    assert backend[1](str(path)).has_annotations()


def test_nothing_is_printed(lvis, json_files, detections, capfd):
    for style, backends in (("coco", COCO_BACKENDS), ("lvis", LVIS_BACKENDS)):
        for backend in backends.values():
            backend(json_files[style]).score(detections, "bbox", 100)
    assert capfd.readouterr().out == ""


def test_numpy_is_left_as_it_was(lvis, json_files, detections):
    LVIS_BACKENDS["lvis"](json_files["lvis"]).score(detections, "bbox", 300)
    assert "float" not in vars(np)


def test_missing_back_end_is_named_beside_those_installed(monkeypatch):
    monkeypatch.setattr(evaluation_backends, "find_spec", lambda module: None if module == "hotcoco" else object())
    assert choose_backend("auto", COCO_BACKENDS) == "pycocotools"
    with pytest.raises(ValueError, match="'hotcoco'.*installed are 'pycocotools'"):
        choose_backend("hotcoco", COCO_BACKENDS)


@pytest.mark.parametrize(("name", "backends"), [("faster-coco-eval", COCO_BACKENDS), ("pycocotools", LVIS_BACKENDS)])
def test_unknown_back_end_is_named_beside_those_there_are(name, backends):
    with pytest.raises(ValueError, match=f"'{name}'.*'auto', {', '.join(map(repr, backends))}"):
        choose_backend(name, backends)


def test_without_any_back_end_auto_says_so(monkeypatch):
    monkeypatch.setattr(evaluation_backends, "find_spec", lambda module: None)
    with pytest.raises(ValueError, match="'auto'.*installed are none"):
        choose_backend("auto", COCO_BACKENDS)
