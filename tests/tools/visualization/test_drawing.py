import matplotlib.pyplot as plt
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import Boxes, Instances
from matplotlib.colors import to_rgb
from PIL import Image

from tools.visualization.drawing import CLASS_COLORS, annotated_masks, draw_detections, draw_masks

HEIGHT, WIDTH = 40, 60
SCENE = {"height": HEIGHT, "width": WIDTH}


def rectangle(y0, y1, x0, x1):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def drawn(masks, colors):
    """The masks on black, ten dots a pixel."""
    figure = plt.figure(figsize=(WIDTH / 10, HEIGHT / 10), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.zeros((HEIGHT, WIDTH, 3)), extent=(0, WIDTH, HEIGHT, 0))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    draw_masks(axes, masks, colors)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    plt.close(figure)
    return picture


def test_a_mask_is_filled_with_its_colour_where_it_lies_and_nowhere_else():
    picture = drawn(np.stack([rectangle(10, 30, 5, 20), rectangle(0, 15, 40, 60)]), ["red", "blue"])
    red, blue, outside = picture[205, 125], picture[75, 505], picture[205, 305]
    assert red[0] > 80 and red[1:].max() == 0
    assert blue[2] > 80 and blue[:2].max() == 0
    assert outside.max() == 0


def test_a_mask_has_an_outline_also_where_the_image_cuts_it_off():
    inside, outline = (drawn(rectangle(10, 30, 40, 60)[None], ["blue"])[205, x] for x in (505, 599))
    assert outline[0] > inside[0] + 50 and drawn(rectangle(10, 30, 5, 20)[None], ["blue"])[100, 125, 0] > 50


def test_of_masks_that_overlap_the_last_one_is_on_top():
    picture = drawn(np.stack([rectangle(0, 40, 0, 60), rectangle(10, 30, 10, 50)]), ["red", "blue"])
    color = picture[205, 305] / 255
    assert np.abs(color / color.max() - to_rgb("blue")).max() < 0.05


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_detections_of_one_object_the_best_is_on_top(tmp_path, order):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "black.png")
    boxes, masks = torch.tensor([[10.0, 10, 50, 30]] * 2), torch.from_numpy(rectangle(10, 30, 10, 50)).expand(2, -1, -1)
    found = Instances((HEIGHT, WIDTH), pred_boxes=Boxes(boxes), pred_masks=masks)
    found.scores, found.pred_classes = torch.tensor([0.9, 0.6]), torch.tensor([3, 0])
    figure = plt.figure(figsize=(WIDTH / 10, HEIGHT / 10), dpi=100)
    scene = {**SCENE, "file_name": str(tmp_path / "black.png")}
    draw_detections(figure.add_axes((0, 0, 1, 1)), scene, found[torch.tensor(order)], ["a", "b", "c", "d"], 0.5)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    plt.close(figure)
    mask, box = picture[205, 305], picture[205, 100]
    for color in (mask, box):
        np.testing.assert_allclose(color / color.max(), np.array(CLASS_COLORS(3)[:3]) / CLASS_COLORS(3)[0], atol=0.1)


def test_an_empty_mask_and_no_masks_draw_nothing():
    assert drawn(np.zeros((1, HEIGHT, WIDTH), dtype=bool), ["red"]).max() == 0
    assert drawn(np.zeros((0, HEIGHT, WIDTH), dtype=bool), []).max() == 0


def test_annotated_masks_come_from_polygons_and_run_lengths():
    expected = rectangle(10, 30, 5, 20)
    compressed = mask_util.encode(np.asfortranarray(expected, dtype=np.uint8))
    text = {**compressed, "counts": compressed["counts"].decode()}
    counts = [5 * HEIGHT + 10, *[20, 20] * 14, 20, 10 + 40 * HEIGHT]
    polygon = [[5, 10, 20, 10, 20, 30, 5, 30]]
    plain = {"size": [HEIGHT, WIDTH], "counts": counts}
    masks = annotated_masks([{"segmentation": s} for s in (polygon, compressed, text, plain)], SCENE)
    assert masks.dtype == bool
    for mask in masks:
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("annotation", [{}, {"segmentation": []}])
def test_an_annotation_without_a_mask_has_an_empty_one(annotation):
    masks = annotated_masks([annotation], SCENE)
    assert masks.shape == (1, HEIGHT, WIDTH) and not masks.any()


def test_no_annotations_have_no_masks():
    assert annotated_masks([], SCENE).shape == (0, HEIGHT, WIDTH)
