"""Further passes in training, each from the boxes of the pass before."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch.testing import assert_close

from layers_diffu_detr.content import StateAddedToContent
from layers_diffu_detr.ldm.ddim import PredictedBoxes
from projects.diffu_base.config.distinct import use_distinct_queries
from tests.support.detection import image
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

FAMILIES = ("diffu_detr_r50", "diffu_dino_r50", "diffu_aligndetr_r50")


def build(name, times=(), *, state=False):
    model = tiny_config(name, embed_dim=64, num_queries=20)
    for part in (model.transformer.encoder, model.transformer.decoder):
        part.update(attn_dropout=0.0, ffn_dropout=0.0)
    use_distinct_queries(model, most=8)
    model.refinement_times = list(times)
    if state:
        model.transformer.self_conditioning = L(StateAddedToContent)(embed_dim=64)
    return fill(instantiate(model), salt=1)


def batch():
    return [image(64, 96, 0, count=3), image(96, 64, 1, count=1)]


def losses_of(model, inputs=None):
    torch.manual_seed(0)
    return model.train()(inputs or batch())


def recorded_decodes(model, monkeypatch):
    """What `model.decode` is given and returns, pass by pass."""
    passes, decode = [], model.decode

    def record(memory, queries):
        outputs, metas = decode(memory, queries)
        passes.append((queries, outputs))
        return outputs, metas

    monkeypatch.setattr(model, "decode", record)
    return passes


@pytest.mark.parametrize("name", FAMILIES)
def test_a_further_pass_starts_from_the_boxes_that_the_first_one_predicted(name, monkeypatch):
    model = build(name, [7, 3], state=True)
    passes = recorded_decodes(model, monkeypatch)
    losses_of(model)
    assert [queries.t.unique().tolist() for queries, _ in passes] == [[0], [7], [3]]
    for (first, before), (further, _) in zip(passes, passes[1:], strict=False):
        assert torch.equal(further.boxes, before["pred_boxes"]) and not further.boxes.requires_grad
        assert further.start.state is before["states"]
        assert further.dn_metas is None and further.num_auxiliary == 0
        assert torch.equal(further.start.source, first.start.source)
        assert torch.equal(further.valid, first.start.valid)


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_of_all_passes_add_up(name):
    once, twice = losses_of(build(name)), losses_of(build(name, [0]))
    assert once.keys() == twice.keys()
    further = {loss for loss in once if "_dn" not in loss and "_enc" not in loss}
    for loss in once:
        if loss in further:
            assert twice[loss] > once[loss]
        else:
            assert_close(twice[loss], once[loss])


def test_training_and_inference_give_the_second_pass_the_same_input(monkeypatch):
    model = build("diffu_dino_r50", [0], state=True)
    model.diffused_queries.t = 7
    model.sampler.times, model.sampler.num_steps, model.sampler.update = [7, 0], 2, PredictedBoxes()
    passes = recorded_decodes(model, monkeypatch)
    inputs = [image(64, 96, 0, count=3)]
    losses_of(model, inputs)
    model.eval()
    memory = model.encode(model.preprocess(inputs))
    first, second = model.sample(memory, inputs)
    valid = second.queries.valid
    for queries, (trained, _) in zip((first.queries, second.queries), passes, strict=True):
        assert torch.equal(queries.valid, trained.start.valid)
        assert_close(queries.boxes[valid], trained.start.boxes[valid])


def test_gradients_reach_the_first_pass_through_the_state_alone():
    for state in (False, True):
        model = build("diffu_dino_r50", [0], state=state)
        memory = model.encode(model.preprocess(batch()))
        proposals = model.transformer.propose(memory, model.num_boxes)
        queries = model.prepare_queries(memory, proposals, model.prepare_targets(batch()))
        outputs, _ = model.decode(memory, queries)
        states = outputs["states"].retain_grad() or outputs["states"]
        ((further, _),) = model.refine(memory, proposals, queries, outputs)
        further["pred_logits"].nan_to_num(neginf=0.0).sum().backward()
        assert (states.grad is not None) == state


@pytest.mark.parametrize("times", [[100], [-1]])
def test_times_that_are_no_timesteps_are_refused(times):
    with pytest.raises(ValueError, match=f"refinement_times has {times[0]}"):
        build("diffu_dino_r50", times)


def test_a_baseline_has_no_further_passes():
    with pytest.raises(ValueError, match="refinement_times has 0; a baseline"):
        build("dino_r50", [0])
