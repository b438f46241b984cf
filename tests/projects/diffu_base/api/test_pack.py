"""A model folder of any config and checkpoint."""

import json

import pytest

from projects.diffu_base import from_pretrained
from projects.diffu_base.api.pack import pack, results_beside
from tests.support.model_folders import write_averaged_run

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """A run's output folder: config and checkpoint, whose averages are zero."""
    write_averaged_run(tmp_path)
    return tmp_path


def test_the_folder_has_the_weights_that_evaluation_takes(run):
    config, checkpoint = str(run / "config.yaml"), run / "model_final.pth"
    info = pack(config, checkpoint, run / "averaged")
    assert info.weights == "averaged" and info.classes[0] == "person"
    assert not from_pretrained(run / "averaged", device="cpu").model.class_embed[0].weight.any()
    plain = "train.model_ema.use_ema_weights_for_eval_only=False"
    assert pack(config, checkpoint, run / "plain", overrides=[plain]).weights == "plain"
    assert from_pretrained(run / "plain", device="cpu").model.class_embed[0].weight.any()


def test_a_file_may_name_the_classes(run):
    (run / "names.txt").write_text("\n".join(f"thing {i}" for i in range(80)))
    assert pack(str(run / "config.yaml"), run / "model_final.pth", run / "m", class_file=run / "names.txt").classes[
        79
    ] == ("thing 79")
    (run / "names.txt").write_text("cup\nball")
    with pytest.raises(ValueError, match="there are 2 names of classes; the model has 80 classes"):
        pack(str(run / "config.yaml"), run / "model_final.pth", run / "m", class_file=run / "names.txt")


def test_results_beside_the_checkpoint_are_kept_if_they_are_its_own(run):
    for content, name, own in (
        ({"iterations": 3}, "model_final.pth", True),
        ({"iterations": 3}, "model_0000001.pth", False),
        ({"checkpoint": str(run / "model_0000001.pth")}, "model_0000001.pth", True),
        ({"checkpoint": "elsewhere.pth"}, "model_final.pth", False),
    ):
        (run / "results.json").write_text(json.dumps({**content, "results": {"bbox": {"AP": 41.5}}}))
        assert bool(results_beside(run / name)) == own
    (run / "results.json").write_text(json.dumps({"iterations": 3, "results": {"bbox": {"AP": 41.5}}}))
    assert pack(str(run / "config.yaml"), run / "model_final.pth", run / "m").results == {"bbox": {"AP": 41.5}}


def test_mistakes_are_named(run):
    with pytest.raises(ValueError, match="no such file"):
        pack("diffu_dino/demo/digits", "gone.pth", run / "m")
    with pytest.raises(ValueError, match="has no model"):
        pack("common/train", run / "model_final.pth", run / "m")
    with pytest.raises(ValueError, match="does not fit the model"):
        pack("diffu_dino/demo/digits", run / "model_final.pth", run / "m")
