"""From images to detections."""

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from datasets_utils import DetrDatasetMapper
from projects.diffu_base import from_pretrained
from projects.diffu_base.api.predictor import Unread
from tests.support.model_folders import DIFFU_DINO, DIFFUSION_INST, DINO, write_small_folder

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 255, (60, 90, 3), dtype=np.uint8)
TALL = RNG.integers(0, 255, (90, 60, 3), dtype=np.uint8)
FEW = {"boxes": 12, "threshold": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: write_small_folder(root / str(i), name) for i, name in enumerate((DIFFU_DINO, DINO, DIFFUSION_INST))}


@pytest.fixture
def detector(folders):
    return from_pretrained(folders[DIFFU_DINO], device="cpu")


def boxes_and_scores(result) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([result.boxes, result.scores[:, None], result.labels[:, None]], axis=1))


@pytest.mark.parametrize("kind", [DIFFU_DINO, DINO, DIFFUSION_INST], ids=["DiffuDINO", "DINO", "DiffusionInst"])
def test_detections_are_those_of_the_model_on_the_images_that_evaluation_makes(folders, kind, tmp_path):
    detector = from_pretrained(folders[kind], device="cpu")
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    (result,) = detector.predict(tmp_path / "a.png", threshold=0.0, seed=4)
    mapper: DetrDatasetMapper = instantiate(detector.cfg.dataloader.test.mapper)
    inputs = mapper({"file_name": str(tmp_path / "a.png"), "height": 60, "width": 90})
    detector.model.sampler.seed = 4
    with torch.no_grad():
        expected = detector.model([{key: inputs[key] for key in ("image", "height", "width")}])[0]["instances"]
    np.testing.assert_array_equal(result.boxes, expected.pred_boxes.tensor)
    np.testing.assert_array_equal(result.scores, expected.scores)
    assert result.size == (60, 90) and len(result) == len(expected) > 0
    if expected.has("pred_masks"):
        np.testing.assert_array_equal(result.masks, expected.pred_masks)
    else:
        assert result.masks is None


def test_an_image_gets_the_same_detections_alone_in_a_batch_and_among_other_sizes(detector):
    together = detector.predict([WIDE, TALL, WIDE, WIDE], batch=3, **FEW)
    assert [result.name for result in together] == [f"images[{i}]" for i in range(4)]
    for result, image in zip(together, (WIDE, TALL, WIDE, WIDE), strict=True):
        alone = detector.predict(image, **FEW)[0]
        torch.testing.assert_close(boxes_and_scores(result), boxes_and_scores(alone), rtol=1e-3, atol=1e-3)


def test_a_model_on_bgr_sees_the_channels_turned_around(folders):
    detector = from_pretrained(folders[DIFFU_DINO], device="cpu")
    rgb = detector.as_input(WIDE)
    detector.model.input_format = "BGR"
    assert torch.equal(detector.as_input(WIDE), rgb.flip(0))


def test_steps_boxes_and_seed_are_dials_of_a_call(detector):
    assert detector.model.sampler.num_steps == 3 and detector.model.num_boxes == 20
    calls = []
    detector.model.transformer.decoder.register_forward_hook(
        lambda module, args, kwargs, output: calls.append(kwargs["reference_points"].shape[1]), with_kwargs=True
    )
    detector.predict(WIDE, steps=5, boxes=35)
    assert calls == [35] * 5
    first, again, other = (detector.predict(WIDE, seed=seed, **FEW)[0] for seed in (1, 1, 2))
    assert np.array_equal(first.boxes, again.boxes) and not np.array_equal(first.boxes, other.boxes)
    one, two = (detector.predict(WIDE, seed=None, **FEW)[0] for _ in range(2))
    assert not np.array_equal(one.boxes, two.boxes)


@pytest.mark.parametrize("boxes", [7, 45])
def test_a_model_with_learned_content_takes_any_number_of_boxes(boxes, tmp_path):
    folder = write_small_folder(tmp_path / "m", "projects/diffu_detr/configs/coco-r50-4scales-50ep.py")
    detector = from_pretrained(folder, device="cpu")
    assert len(detector.model.transformer.tgt_embed.weight) == 20
    shapes = []
    detector.model.transformer.decoder.register_forward_hook(
        lambda module, args, kwargs, output: shapes.append(kwargs["query"].shape[1]), with_kwargs=True
    )
    detector.predict(WIDE, boxes=boxes)
    assert shapes == [boxes] * 3


def test_the_encoder_runs_once_for_all_draws_and_steps(detector):
    encoded, decoded = [], []
    detector.model.transformer.encoder.register_forward_hook(lambda *args: encoded.append(1))
    detector.model.transformer.decoder.register_forward_hook(lambda *args: decoded.append(1))
    several = detector.predict(WIDE, draws=4, steps=2, **FEW)[0]
    assert (len(encoded), len(decoded)) == (1, 8)
    once = detector.predict(WIDE, steps=2, **FEW)[0]
    assert np.array_equal(several.boxes, once.boxes) and once.agreement is None  # those of the first draw
    assert several.agreement.shape == several.scores.shape and 0 < several.agreement.max() <= 1


def test_thresholds_come_from_the_call_from_the_folder_or_are_the_default(detector):
    scores = detector.predict(WIDE, threshold=0.0, boxes=12)[0].scores
    middle = float(np.median(scores))
    assert (detector.predict(WIDE, threshold=middle, boxes=12)[0].scores >= middle).all()
    assert detector.thresholds(None).tolist() == pytest.approx([0.3] * 80)
    of_classes = [0.0] * 79 + [1.0]
    detector.info = detector.info.model_copy(update={"thresholds": of_classes})
    by_class = detector.predict(WIDE, boxes=12)[0]
    assert len(by_class) > 0 and "toothbrush" not in by_class.class_names


def test_an_unreadable_file_is_reported_and_does_not_stop_the_others(detector, tmp_path, caplog):
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no image")
    results = detector.predict([tmp_path, "gone.jpg"], batch=2, **FEW)
    assert [result.name for result in results] == [str(tmp_path / "a.png")]
    assert list(results.unread) == [str(tmp_path / "cut.png"), str(tmp_path / "text.jpg"), "gone.jpg"]
    assert results.unread["gone.jpg"] == "no such file" and "text.jpg cannot be read: not an image" in caplog.text
    with pytest.raises(ValueError, match=r"^gone.jpg: no such file$"):
        detector.predict("gone.jpg")
    with pytest.raises(ValueError, match="none of 2 images can be read; gone.jpg: no such file"):
        detector.predict(["gone.jpg", "text.jpg"])


def test_results_come_one_by_one(detector, tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    stream = detector.stream(["gone.jpg", tmp_path / "a.png"], **FEW)
    assert isinstance(next(stream), Unread) and next(stream).name == str(tmp_path / "a.png")


def test_a_wrong_array_is_an_error(detector):
    with pytest.raises(ValueError, match=r"images\[1\] is an array of shape \(5, 60, 90\)"):
        detector.predict([WIDE, np.zeros((5, 60, 90), np.uint8)])
    with pytest.raises(ValueError, match="predict has no treshold; it takes steps"):
        detector.predict(WIDE, treshold=0.5)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_half_precision_runs_by_autocast(folders, dtype):
    detector = from_pretrained(folders[DIFFU_DINO], device="cpu", dtype=dtype)
    exact = from_pretrained(folders[DIFFU_DINO], device="cpu").predict(WIDE, threshold=0.0)[0]
    half = detector.predict(WIDE, threshold=0.0)[0]
    assert detector.model.pixel_mean.dtype == torch.float32
    assert not np.array_equal(half.scores, exact.scores) and abs(half.scores.max() - exact.scores.max()) < 0.1


@pytest.mark.parametrize("kind", [DIFFU_DINO, DIFFUSION_INST], ids=["DiffuDINO", "DiffusionInst"])
def test_start_boxes_come_back_in_their_order_and_number(folders, kind):
    detector = from_pretrained(folders[kind], device="cpu")
    boxes = RNG.uniform(0, 40, (30, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    sampler, number = detector.model.sampler, detector.model.num_boxes
    first, empty = detector.predict([WIDE, TALL], start_boxes=[boxes, []], threshold=0.9)
    assert len(first) == 30 and len(empty) == 0 and first.boxes.shape == (30, 4)
    few = detector.predict(WIDE, start_boxes=boxes[:3])[0]
    assert few.boxes.shape == (3, 4) and (few.boxes[:, 2] <= 90).all() and few.class_names[0] in detector.class_names
    assert detector.model.sampler is sampler and detector.model.num_boxes == number


def test_tiles_add_detections_of_parts_in_the_coordinates_of_the_picture(detector):
    sizes = []
    detector.model.backbone.register_forward_hook(lambda module, args, output: sizes.append(tuple(args[0].shape)))
    result = detector.predict(WIDE, tiles=48, threshold=0.0, boxes=12)[0]
    assert sum(shape[0] for shape in sizes) == 1 + 2 * 3  # the picture, and its tiles
    assert result.size == (60, 90) and (result.boxes[:, [0, 2]] <= 90).all() and result.boxes[:, 0].max() > 48
