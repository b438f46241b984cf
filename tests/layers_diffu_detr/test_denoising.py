"""Contrastive denoising and diffused queries: layout, bounds, statistics and corner cases."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, inverse_sigmoid
from layers_diffu_detr.denoising import CentreFiller, ContrastiveDenoising, DiffusedQueries, GaussianFiller, NoisyFiller
from layers_diffu_detr.targets import at_most, pad_targets
from layers_diffu_detr.training_batch import TrainingBatch

CLASSES, CHANNELS, QUERIES = 5, 8, 6


def make_targets(*counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "labels": torch.randint(CLASSES, (n,), generator=generator),
            "boxes": torch.rand(n, 4, generator=generator) * 0.3 + torch.tensor([0.35, 0.35, 0.05, 0.05]),
        }
        for n in counts
    ]


def rows(boxes):
    return {tuple(round(x, 4) for x in box) for box in boxes.tolist()}


@pytest.fixture
def label_enc():
    torch.manual_seed(0)
    return nn.Embedding(CLASSES + 1, CHANNELS)


def denoising(**overrides):
    return ContrastiveDenoising(**{"num_classes": CLASSES, "dn_number": 6, "max_queries": 20, **overrides})


def test_layout_without_noise(label_enc):
    targets = make_targets(2, 0, 3)
    result = denoising(label_noise_ratio=0, box_noise_scale=0)(targets, label_enc, QUERIES)
    # 6 // 3 = 2 groups of 3 positives and 3 negatives
    assert (result.metas["dn_num"], result.metas["single_padding"]) == (2, 6)
    assert result.metas["targets"] is targets
    assert result.content.shape == (3, 12, CHANNELS) and result.boxes.shape == (3, 12, 4)
    for image, target in enumerate(targets):
        n = len(target["labels"])
        for start in (0, 3, 6, 9):
            assert_close(result.content[image, start : start + n], label_enc(target["labels"]))
            assert_close(result.boxes[image, start : start + n], target["boxes"])
            assert (result.content[image, start + n : start + 3] == 0).all()
            assert (result.boxes[image, start + n : start + 3] == 0.5).all()


def test_mask_separates_groups_and_hides_them_from_matching_queries(label_enc):
    mask = denoising(dn_number=2)(make_targets(1), label_enc, 3).attn_mask
    expected = torch.tensor(
        [
            [0, 0, 1, 1, 0, 0, 0],
            [0, 0, 1, 1, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
        ],
        dtype=torch.bool,
    )
    assert torch.equal(mask, expected)


def test_there_is_at_least_one_group(label_enc):
    result = denoising(dn_number=2)(make_targets(5), label_enc, QUERIES)
    assert (result.metas["dn_num"], result.metas["single_padding"]) == (1, 10)


def test_positives_stay_near_and_negatives_go_farther(label_enc):
    # The target lies in the middle, so that no corner is clamped. Offsets are counted in half box sizes.
    target = {"labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}
    torch.manual_seed(0)
    result = denoising(dn_number=300, max_queries=600)([target], label_enc, QUERIES)
    boxes = result.boxes[0].unflatten(0, (300, 2)).transpose(0, 1)
    # Where corners changed sides, the size was clamped: such boxes are left out.
    offsets = (box_cxcywh_to_xyxy(boxes) - box_cxcywh_to_xyxy(target["boxes"])) / 0.1
    kept = (boxes[..., 2:] > 0.01).all(-1)
    assert offsets[0][kept[0]].abs().max() <= 1.001 and kept[0].float().mean() > 0.9
    assert 0.999 <= offsets[1][kept[1]].abs().min() and offsets[1][kept[1]].abs().max() <= 2.001
    assert offsets[0].mean().abs() < 0.1 and 0.4 < offsets[0].abs().mean() < 0.6


def test_boxes_are_inside_the_image_and_invertible(label_enc):
    torch.manual_seed(0)
    targets = [{"labels": torch.tensor([0]), "boxes": torch.tensor([[0.02, 0.98, 0.04, 0.04]])}]
    boxes = denoising(dn_number=10, box_noise_scale=2.0)(targets, label_enc, QUERIES).boxes
    assert (boxes > 0).all() and (boxes < 1).all()
    assert_close(inverse_sigmoid(boxes).sigmoid(), boxes)


def test_half_of_the_noise_ratio_of_labels_is_redrawn(label_enc):
    with torch.no_grad():
        label_enc.weight.copy_(torch.arange(CLASSES + 1.0)[:, None].expand(-1, CHANNELS))
    torch.manual_seed(0)
    targets = [{"labels": torch.full((100,), 2), "boxes": torch.full((100, 4), 0.5)}]
    make = denoising(dn_number=1000, label_noise_ratio=0.5, max_queries=2000)
    labels = make(targets, label_enc, QUERIES).content[0, :, 0]
    changed = (labels != 2).float().mean().item()
    assert changed == pytest.approx(0.25 * (CLASSES - 1) / CLASSES, abs=0.03)
    assert labels.max() == CLASSES - 1


def test_gradient_reaches_the_label_embedding_but_not_through_padding(label_enc):
    targets = [{"labels": torch.tensor([3, 3]), "boxes": torch.full((2, 4), 0.5)}, make_targets(0)[0]]
    denoising(label_noise_ratio=0)(targets, label_enc, QUERIES).content.sum().backward()
    assert label_enc.weight.grad[3].abs().sum() > 0
    assert (label_enc.weight.grad[0] == 0).all()


def test_no_queries_without_targets_or_number(label_enc):
    assert denoising()(make_targets(0, 0), label_enc, QUERIES) is None
    assert denoising(dn_number=0)(make_targets(2), label_enc, QUERIES) is None


def test_crowded_images_are_bounded(label_enc):
    targets = make_targets(50, 4)
    make = denoising(label_noise_ratio=0, box_noise_scale=0)
    result = make(targets, label_enc, QUERIES)
    assert result.boxes.shape[1] == 20 == result.metas["single_padding"] * result.metas["dn_num"]
    subset = result.metas["targets"]
    assert [len(t["labels"]) for t in subset] == [10, 4]
    assert subset[1] is targets[1]
    assert len(rows(subset[0]["boxes"])) == 10 and rows(subset[0]["boxes"]) <= rows(targets[0]["boxes"])
    assert_close(result.boxes[0, :10], subset[0]["boxes"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"dn_number": -1}, "dn_number is -1"),
        ({"dn_number": 11}, "max_queries is 20; it must be at least 22"),
    ],
)
def test_wrong_settings_are_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        denoising(**overrides)


class Recorder:
    """A diffusion of T steps that adds no noise."""

    num_timesteps = 100

    def boxes_to_signal(self, boxes):
        return 4 * boxes - 2

    def signal_to_boxes(self, signal):
        return (signal.clamp(-2, 2) + 2) / 4

    def sample_noise(self, shape, device):
        return torch.zeros(shape, device=device)

    def q_sample(self, signal, t, noise):
        return signal + noise


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 30])
def test_any_number_of_targets_fills_the_queries(count):
    targets = make_targets(count, 3)
    queries, t = DiffusedQueries(CentreFiller())(TrainingBatch(targets, 8, Recorder()))
    boxes = queries.boxes
    assert boxes.shape == (2, 8, 4) and t.shape == (2,) and t.dtype == torch.int64
    used = rows(boxes[0]) - {(0.5, 0.5, 0.5, 0.5)}
    assert len(used) == min(count, 8) and used <= rows(targets[0]["boxes"])
    assert rows(targets[1]["boxes"]) <= rows(boxes[1])


def test_all_empty_batch_is_filler_alone():
    queries, _ = DiffusedQueries(CentreFiller())(TrainingBatch(make_targets(0, 0), 4, Recorder()))
    assert_close(queries.boxes, torch.full((2, 4, 4), 0.5))


def test_noisy_filler_is_a_squashed_normal():
    torch.manual_seed(0)
    filler = NoisyFiller()((50, 100, 4), torch.device("cpu"))
    z = torch.logit(filler)
    assert z.mean().abs() < 0.02 and abs(z.std() - 1) < 0.02


def test_gaussian_filler_has_three_deviations_to_the_border_and_no_empty_boxes():
    torch.manual_seed(0)
    filler = GaussianFiller()((200, 100, 4), torch.device("cpu"))
    assert_close(filler.mean((0, 1)), torch.full((4,), 0.5), rtol=0, atol=0.005)
    assert_close(filler.std((0, 1)), torch.full((4,), 1 / 6), rtol=0, atol=0.005)
    assert filler[..., 2:].min() == 1e-4 and filler[..., :2].min() < 0


def test_targets_are_shuffled_per_image():
    torch.manual_seed(0)
    targets = [make_targets(1)[0]] * 64
    queries, _ = DiffusedQueries(CentreFiller())(TrainingBatch(targets, 4, Recorder()))
    place = (queries.boxes - targets[0]["boxes"]).abs().sum(-1).argmin(1)
    assert set(place.tolist()) == {0, 1, 2, 3}


def test_times_cover_the_whole_range():
    torch.manual_seed(0)
    _, t = DiffusedQueries(CentreFiller())(TrainingBatch(make_targets(*[1] * 2000), 1, Recorder()))
    assert t.min() == 0 and t.max() == 99


def test_pad_targets_marks_what_is_real():
    labels, boxes, valid = pad_targets(make_targets(2, 0))
    assert labels.shape == (2, 2) and boxes.shape == (2, 2, 4)
    assert valid.tolist() == [[True, True], [False, False]]


def test_at_most_leaves_small_images_alone():
    targets = make_targets(2, 3)
    assert at_most(targets, 3) is targets
    assert [len(t["labels"]) for t in at_most(targets, 1)] == [1, 1]
