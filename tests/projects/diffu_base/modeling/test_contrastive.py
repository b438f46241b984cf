"""The contrastive loss on the decoder's queries: what it compares, its place among the losses, its optional package."""

import sys
import types

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch.testing import assert_close

from projects.diffu_base.modeling.contrastive import ContrastiveLoss, metric_loss
from projects.diffu_base.modeling.losses import MatchedPairs
from tests.support.detection import image, train_and_evaluate
from tests.support.tiny_models import tiny_config

pytestmark = pytest.mark.slow

PACKAGE = "pytorch_metric_learning"


def make_pairs(labels):
    image, query = torch.tensor([[0, 0, 1, 1], [3, 1, 0, 2]])[:, : len(labels)]
    boxes = torch.full((len(labels), 4), 0.5)
    return MatchedPairs(image, query, torch.zeros_like(image), torch.tensor(labels), boxes, boxes)


def make_states():
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_only_matched_queries_are_compared_by_their_classes():
    seen = []
    loss = ContrastiveLoss(lambda *arguments: seen.append(arguments) or torch.zeros(()), embed_dim=8, projection_dim=3)
    states = make_states()
    loss(states, make_pairs([2, 0, 2, 1]))
    ((embeddings, classes),) = seen
    assert classes.tolist() == [2, 0, 2, 1]
    assert_close(embeddings, loss.projection(torch.stack([states[0, 3], states[0, 1], states[1, 0], states[1, 2]])))


def test_training_on_it_brings_queries_of_a_class_together():
    pytest.importorskip(PACKAGE)
    torch.manual_seed(0)
    loss, pairs = ContrastiveLoss(metric_loss("SupConLoss"), embed_dim=8, projection_dim=4), make_pairs([2, 0, 2, 0])
    states = make_states()
    optimizer = torch.optim.SGD([states], lr=1.0)
    before = loss(states, pairs).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(states, pairs).backward()
        optimizer.step()
    assert loss(states, pairs) < 0.5 * before
    assert (states[0, [0, 2, 4]] == make_states()[0, [0, 2, 4]]).all()  # queries without a target stay


@pytest.mark.parametrize("labels", [[], [1], [0, 1]])
def test_nothing_to_compare_is_a_connected_zero(labels):
    pytest.importorskip(PACKAGE)
    states = make_states()
    loss = ContrastiveLoss(metric_loss("SupConLoss"), embed_dim=8)
    value = loss(states, make_pairs(labels))
    assert value == 0
    value.backward()
    assert states.grad is not None and loss.projection.weight.grad is not None


@pytest.mark.parametrize("name", ["diffu_detr_r50", "diffu_dino_r50"])
def test_a_model_trains_with_it(name):
    pytest.importorskip(PACKAGE)
    config = tiny_config(name)
    config.criterion.contrastive = L(ContrastiveLoss)(metric=L(metric_loss)(name="SupConLoss"), embed_dim=256)
    config.criterion.weight_dict.loss_contrastive = 0.5
    torch.manual_seed(0)
    losses = train_and_evaluate(instantiate(config).eval(), [4, 5])  # every parameter has a gradient
    assert losses["loss_contrastive"] > 0
    assert not any(key.startswith("loss_contrastive_") for key in losses)
    assert train_and_evaluate(instantiate(config).eval(), [0, 0])["loss_contrastive"] == 0


def test_without_the_slot_the_package_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # importing it fails
    model = instantiate(tiny_config("diffu_dino_r50")).train()
    assert all(loss.isfinite() for loss in model([image(64, 96, 0, count=2)]).values())


def test_a_missing_package_and_an_unknown_loss_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(ValueError, match=r"needs the package pytorch_metric_learning: pip install 'diffu-detr\[contra"):
        metric_loss("SupConLoss")
    package = types.ModuleType(PACKAGE)
    package.losses = types.SimpleNamespace(SupConLoss=dict)
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    assert metric_loss("SupConLoss", temperature=0.2) == {"temperature": 0.2}
    with pytest.raises(ValueError, match=r"metric loss is 'NoLoss'; pytorch_metric_learning has \['SupConLoss'\]"):
        metric_loss("NoLoss")
