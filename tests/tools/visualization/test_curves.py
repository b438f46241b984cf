import json

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.tools.pictures import assert_picture, pixels
from tools.visualization.curves import training_curves


def write_metrics(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_training_curves_show_loss_and_precision(tmp_path):
    records = [{"iteration": i, "total_loss": 40 * 0.998**i + 5, "lr": 1e-4} for i in range(0, 1600, 20)]
    records += [{"iteration": i, "bbox/AP": ap} for i, ap in ((399, 13.6), (799, 37.2), (1199, 49.0), (1599, 56.7))]
    assert_picture(training_curves(write_metrics(tmp_path / "m.json", records), tmp_path / "curves.png"), 1000, 400)


def test_training_curves_without_evaluation_show_the_loss(tmp_path):
    records = [{"iteration": 0, "total_loss": 3.0}, {"iteration": 0, "total_loss": 2.0, "bbox/AP": float("nan")}]
    assert training_curves(write_metrics(tmp_path / "m.json", records), tmp_path / "curves.png").is_file()


def test_a_file_without_losses_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no total_loss"):
        training_curves(write_metrics(tmp_path / "m.json", [{"iteration": 1}]), tmp_path / "curves.png")


def test_mask_ap_has_a_curve_beside_box_ap(tmp_path):
    boxes = [{"iteration": i, "total_loss": 3.0, "bbox/AP": ap} for i, ap in ((9, 20.0), (19, 40.0))]
    masks = [{**record, "segm/AP": record["bbox/AP"] - 10} for record in boxes]
    purple = []
    for records in (boxes, masks):
        picture = pixels(training_curves(write_metrics(tmp_path / "m.json", records), tmp_path / "curves.png"))
        purple.append((np.abs(picture - 255 * np.array(to_rgb("tab:purple"))).max(-1) < 5).sum())
    assert purple[0] == 0 and purple[1] > 500
