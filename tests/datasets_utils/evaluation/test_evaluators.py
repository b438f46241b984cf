import json
import logging
import tracemalloc
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator, LVISEvaluator
from detectron2.structures import Boxes, Instances
from omegaconf import OmegaConf

from datasets_utils import CocoStyleEvaluator, LvisStyleEvaluator
from datasets_utils.evaluation import backends as evaluation_backends
from tests.datasets_utils.evaluation import evaluation_case as case
from tests.datasets_utils.evaluation.evaluation_run import SCRIPT
from tests.projects.diffu_base.engine.runs import torchrun

pytestmark = pytest.mark.slow


@pytest.fixture
def coco_name(tmp_path):
    with case.registered(tmp_path, case.ground_truth()) as name:
        yield name


@pytest.fixture
def lvis_name(tmp_path):
    with case.registered(tmp_path, case.ground_truth(lvis=True)) as name:
        yield name


@contextmanager
def log_of(name):
    """Lines that a logger is given, whatever an earlier test did to its handlers."""
    lines = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger(name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def evaluated(evaluator, pairs):
    evaluator.reset()
    for inputs, outputs in pairs:
        evaluator.process([inputs], [outputs])
    return evaluator.evaluate()


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_coco_style_gives_what_detectron2_gives(coco_name, tmp_path, masks):
    pairs = case.predictions(masks=masks)
    with log_of("detectron2.evaluation.coco_evaluation") as their_log:
        theirs = COCOEvaluator(coco_name, output_dir=str(tmp_path / "theirs"), use_fast_impl=False)
        expected = evaluated(theirs, pairs)
    with log_of("datasets_utils.evaluation") as log:
        found = evaluated(CocoStyleEvaluator(coco_name, output_dir=str(tmp_path / "ours")), pairs)
    assert list(found) == list(expected) == (["bbox", "segm"] if masks else ["bbox"])
    for task, numbers in expected.items():
        assert list(found[task]) == list(numbers)
        np.testing.assert_array_equal(list(found[task].values()), list(numbers.values()))
        assert np.isnan(found[task]["AP-kite"]) and found[task]["AP-cat"] > 0
    for start in ("Evaluation results", "Per-category"):
        tables = [line for line in their_log if line.startswith(start)]
        assert tables and [line for line in log if line.startswith(start)] == tables
    files = [tmp_path / folder / "coco_instances_results.json" for folder in ("ours", "theirs")]
    assert files[0].read_text() == files[1].read_text()


def test_lvis_style_gives_what_detectron2_gives(lvis_name, tmp_path):
    pytest.importorskip("lvis", exc_type=ImportError)
    pairs = case.predictions()
    with mock.patch.object(np, "float", float, create=True):
        expected = evaluated(LVISEvaluator(lvis_name, max_dets_per_image=40), pairs)
    found = evaluated(LvisStyleEvaluator(lvis_name, max_dets=40), pairs)
    assert found == expected and [len(found[task]) for task in ("bbox", "segm")] == [9, 9]
    assert found != evaluated(LvisStyleEvaluator(lvis_name), pairs)


def test_what_no_object_is_there_for_is_nan_in_lvis_style_too(tmp_path):
    truth = case.ground_truth(lvis=True)
    for category in truth["categories"]:
        category["frequency"] = "c"
    with case.registered(tmp_path, truth) as name:
        numbers = evaluated(LvisStyleEvaluator(name), case.predictions(masks=False))["bbox"]
    assert np.isnan([numbers["APr"], numbers["APf"]]).all() and numbers["APc"] == numbers["AP"]


@pytest.mark.parametrize("evaluator", [CocoStyleEvaluator, LvisStyleEvaluator])
def test_classes_without_a_map_are_numbered_as_in_detectron2(evaluator, tmp_path):
    first = 1 if evaluator is LvisStyleEvaluator else 0
    truth = case.ground_truth(lvis=True)
    renumbered = {id: i + first for i, id in enumerate(case.CATEGORY_IDS)}
    for category in truth["categories"]:
        category["id"] = renumbered[category["id"]]
    for annotation in truth["annotations"]:
        annotation["category_id"] = renumbered[annotation["category_id"]]
    for image in truth["images"]:
        image.update(neg_category_ids=list(renumbered.values()), not_exhaustive_category_ids=[])
    with case.registered(tmp_path, truth) as name:
        wrongly_mapped = evaluated(evaluator(name), case.predictions(masks=False))["bbox"]["AP"]
        del MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id
        assert evaluated(evaluator(name), case.predictions(masks=False))["bbox"]["AP"] > 10 > wrongly_mapped


def test_classes_beyond_a_thousand_are_not_listed_one_by_one(coco_name, monkeypatch):
    assert CocoStyleEvaluator.most_classes_listed == 1000
    monkeypatch.setattr(CocoStyleEvaluator, "most_classes_listed", len(case.CATEGORY_IDS) - 1)
    evaluator = CocoStyleEvaluator(coco_name)
    found = evaluated(evaluator, case.predictions(masks=False))["bbox"]
    assert found["AP"] > 0 and tuple(found) == evaluator.metric_names("bbox") == evaluator.metrics


def test_classes_of_the_same_name_are_reported_with_their_ids(coco_name):
    expected = evaluated(CocoStyleEvaluator(coco_name), case.predictions(masks=False))["bbox"]
    MetadataCatalog.get(coco_name).thing_classes[1] = "cat"
    evaluator = CocoStyleEvaluator(coco_name)
    found = evaluated(evaluator, case.predictions(masks=False))["bbox"]
    assert (found["AP-cat (2)"], found["AP-cat (3)"]) == (expected["AP-cat"], expected["AP-dog"])
    assert len(found) == len(expected) and tuple(found) == evaluator.metric_names("bbox")


@pytest.mark.parametrize(
    ("evaluator", "of_classes"),
    [
        (CocoStyleEvaluator, ("AP-cat", "AP-dog", "AP-bus", "AP-tree", "AP-cup", "AP-kite")),
        (LvisStyleEvaluator, ("APr", "APc", "APf")),
    ],
)
def test_metrics_are_known_beforehand_without_the_annotations(evaluator, of_classes, tmp_path, monkeypatch):
    with case.registered(tmp_path, case.ground_truth(lvis=True)) as name:
        beforehand = evaluator(name)
        monkeypatch.setattr("datasets_utils.evaluation.evaluators.read_coco_file", None)
        names = [beforehand.metric_names(task) for task in ("bbox", "segm")]
        assert names == [("AP", "AP50", "AP75", "APs", "APm", "APl", *of_classes)] * 2
        found = evaluated(evaluator(name), case.predictions())
    assert [tuple(found[task]) for task in ("bbox", "segm")] == names


def test_metrics_are_known_before_loading_has_named_the_classes(coco_name, tmp_path):
    json_file = MetadataCatalog.get(coco_name).json_file
    register_coco_instances("evaluation_unloaded", {}, json_file, str(tmp_path))
    try:
        evaluator = CocoStyleEvaluator("evaluation_unloaded")
        beforehand = evaluator.metric_names("bbox")
        DatasetCatalog.get("evaluation_unloaded")
        assert tuple(evaluated(evaluator, case.predictions(masks=False))["bbox"]) == beforehand
    finally:
        DatasetCatalog.remove("evaluation_unloaded")
        MetadataCatalog.remove("evaluation_unloaded")


def test_classes_that_are_numbered_by_loading_are_not_numbered_before(coco_name):
    metadata = MetadataCatalog.get(coco_name)
    ids = vars(metadata).pop("thing_dataset_id_to_contiguous_id")
    evaluator = CocoStyleEvaluator(coco_name)
    evaluator.metric_names("bbox")
    metadata.thing_dataset_id_to_contiguous_id = ids  # as loading does
    assert evaluated(evaluator, case.predictions(masks=False))["bbox"]["AP"] > 10


def test_unknown_task_is_refused_with_those_there_are(coco_name):
    with pytest.raises(ValueError, match="'box'.*'bbox', 'segm'"):
        CocoStyleEvaluator(coco_name).metric_names("box")


@pytest.mark.parametrize("backend", evaluation_backends.COCO_BACKENDS)
def test_the_back_end_in_use_is_logged(coco_name, backend):
    with log_of("datasets_utils.evaluation") as log:
        evaluated(CocoStyleEvaluator(coco_name, backend=backend), case.predictions(masks=False))
    assert f"Evaluating 600 detections in 12 images, 0.0 MB, with {backend}" in log


def test_processes_send_their_parts_to_rank_0(coco_name, tmp_path):
    done = torchrun(2, SCRIPT, str(tmp_path), MetadataCatalog.get(coco_name).json_file)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    ranks = [json.loads((tmp_path / f"rank_{rank}.json").read_text()) for rank in (0, 1)]
    alone = evaluated(CocoStyleEvaluator(coco_name), case.predictions())
    assert json.dumps(ranks) == json.dumps([alone, {}])


def test_a_data_set_without_annotations_writes_its_detections_only(tmp_path):
    truth = case.ground_truth()
    del truth["annotations"]
    with case.registered(tmp_path, truth) as name:
        assert evaluated(CocoStyleEvaluator(name, output_dir=str(tmp_path / "out")), case.predictions()) == {}
    results = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert len(results) == 600
    assert results[0].keys() == {"image_id", "category_id", "bbox", "score", "segmentation"}


def test_no_file_without_output_dir(coco_name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    evaluated(CocoStyleEvaluator(coco_name), case.predictions())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("evaluator", [CocoStyleEvaluator, LvisStyleEvaluator])
def test_images_without_any_detection_give_nan_and_no_images_nothing(coco_name, evaluator):
    instances = Instances((9, 9), pred_boxes=Boxes(torch.zeros(0, 4)), scores=torch.zeros(0))
    instances.pred_classes = torch.zeros(0, dtype=torch.int64)
    result = evaluated(evaluator(coco_name), [({"image_id": 1}, {"instances": instances})])
    assert result.keys() == {"bbox"} and np.isnan(list(result["bbox"].values())).all()
    assert tuple(result["bbox"]) == evaluator(coco_name).metric_names("bbox")
    assert evaluated(evaluator(coco_name), []) == {}


def test_reset_forgets(coco_name):
    evaluator = CocoStyleEvaluator(coco_name)
    first = evaluated(evaluator, case.predictions(masks=False))
    np.testing.assert_equal(evaluated(evaluator, case.predictions(masks=False)), first)


def test_name_of_the_data_set_may_come_from_a_config(coco_name):
    for names in (coco_name, [coco_name]):
        cfg = OmegaConf.create({"names": names, "evaluator": {"dataset_name": "${..names}"}})
        assert CocoStyleEvaluator(cfg.evaluator.dataset_name).backend


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset_name": ["a", "b"]}, r"dataset_name.*\['a', 'b'\].*one data set"),
        ({"dataset_name": "no_such_data"}, "'no_such_data'.*json_file"),
        ({"max_dets": 10}, "max_dets.*10.*11 or more"),
        ({"backend": "lvis"}, "'lvis'.*'hotcoco', 'pycocotools'"),
    ],
)
def test_impossible_settings_are_named(coco_name, settings, message):
    with pytest.raises(ValueError, match=message):
        CocoStyleEvaluator(**{"dataset_name": coco_name, **settings})


def test_a_missing_annotation_file_is_named_before_anything_is_computed():
    metadata = MetadataCatalog.get("evaluation_without_file")
    metadata.json_file = "/nowhere/truth.json"
    try:
        with pytest.raises(ValueError, match="'evaluation_without_file'.*/nowhere/truth.json"):
            CocoStyleEvaluator("evaluation_without_file")
    finally:
        MetadataCatalog.remove("evaluation_without_file")


def test_memory_of_a_detection_is_bounded(coco_name):
    """Arrays and all objects around them, of images with as many detections as a DETR gives."""
    per_image, images = 300, 200
    evaluator = CocoStyleEvaluator(coco_name)
    queries = torch.rand(4, 900, 4)  # a batch of all queries, of which each image's detections are a view
    evaluator.process([{"image_id": 0}], [{"instances": detections_of(queries[0, :per_image])}])
    evaluator.reset()
    tracemalloc.start()
    try:
        for image_id in range(images):
            outputs = {"instances": detections_of(queries[image_id % 4, :per_image])}
            evaluator.process([{"image_id": image_id}], [outputs])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(part.nbytes for part in evaluator._parts) == 32 * per_image * images
    assert held < 40 * per_image * images


def detections_of(boxes):
    instances = Instances((9, 9), pred_boxes=Boxes(boxes), scores=boxes[:, 0])
    instances.pred_classes = torch.zeros(len(boxes), dtype=torch.int64)
    return instances


def test_lvis_style_holds_no_more_than_count(lvis_name):
    evaluator = LvisStyleEvaluator(lvis_name, max_dets=20)
    for inputs, outputs in case.predictions(masks=False):
        evaluator.process([inputs], [outputs])
    assert sum(part.nbytes for part in evaluator._parts) == 32 * 20 * (case.NUM_IMAGES - len(case.NO_DETECTIONS))
