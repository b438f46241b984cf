"""Whole models with other starts, renewals and stops: alone and in a batch, with masks, in training, autocast."""

import copy
from dataclasses import replace

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch.testing import assert_close

from layers_diffu_detr.ldm.box_noise import RelativeNoise
from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate, SinglePass
from layers_diffu_detr.ldm.renewal import DistinctRenewal, DropDuplicates, NothingNew
from layers_diffu_detr.ldm.starts import DistinctProposalStart, FilledProposalStart, ProposalStart, SobolStart
from layers_diffu_detr.merging import BoxVoting, SoftNMS
from layers_diffu_detr.postprocess import ClassWiseNMS
from tests.projects.diffusion_inst.tiny import load_model
from tests.projects.diffusion_inst.tiny import shrink as shrink_inst
from tests.support.detection import assert_same_detections, assert_same_with_masks, detect, image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

pytestmark = pytest.mark.slow

BASELINES = ("deformable_detr_r50", "dino_r50", "aligndetr_r50")
DIFFUSION = ("diffu_detr_r50", "diffu_dino_r50", "diffu_aligndetr_r50")
WITH_MASKS = ("diffu_dino_inst_r50",)
DISTINCT = DistinctProposalStart(0.05)


def build(name):
    if name == "dino_inst":
        model = tiny_config("diffu_dino_inst_r50", sampler=L(SinglePass)(), diffusion=None, diffused_queries=None)
        model.transformer.time_embed = model.transformer.decoder.conditioning = None
        return fill(instantiate(model), salt=1).eval()
    if name == "diffusion_inst":
        return fill(instantiate(shrink_inst(load_model("models/diffusion_inst_r50"))), salt=1).eval()
    return fill(instantiate(tiny_config(name)), salt=1).eval()


@pytest.fixture(scope="module")
def models():
    return {name: build(name) for name in (*BASELINES, *DIFFUSION, *WITH_MASKS, "diffusion_inst")}


def with_sampler(model, sampler):
    """The same model, with the same weights, under another sampler."""
    model = copy.copy(model)
    model.sampler = sampler
    return model


def chain(num_steps=2, **slots):
    return DDIMSampler(num_steps, **{"update": DDIMUpdate(), "merge": ClassWiseNMS(0.8), "seed": 0, **slots})


def inputs():
    return [image(64, 96, 0), image(96, 64, 1), image(64, 96, 2)]


SAMPLERS = {
    "distinct": lambda: chain(1, start=DISTINCT, times=[33]),
    "distinct, renewed": lambda: chain(start=DISTINCT, renewal=DistinctRenewal(), times=[33, 10]),
    "distinct, noise": lambda: chain(1, start=DistinctProposalStart(0.05, noise=RelativeNoise())),
    "filled": lambda: chain(start=FilledProposalStart(0.05), renewal=DistinctRenewal()),
    "all": lambda: chain(start=ProposalStart(RelativeNoise()), merge=BoxVoting()),
    "sobol": lambda: chain(start=SobolStart(), merge=SoftNMS()),
    "dropped": lambda: chain(3, start=SobolStart(), renewal=DropDuplicates(0.3)),
    "stopped": lambda: chain(4, start=SobolStart(), stop=NothingNew(0.86, 0.5)),
}
NO_PROPOSALS = ("sobol", "dropped", "stopped")


@torch.no_grad()
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", [*DIFFUSION, *WITH_MASKS])
def test_an_image_gets_alone_what_it_gets_in_a_batch(models, name, sampler):
    model = with_sampler(models[name], SAMPLERS[sampler]())
    same = assert_same_with_masks if name in WITH_MASKS else assert_same_detections
    for together, alone in zip(model(inputs()), inputs(), strict=True):
        same(together["instances"], model([alone])[0]["instances"])


@torch.no_grad()
@pytest.mark.parametrize("sampler", NO_PROPOSALS)
def test_an_image_gets_alone_what_it_gets_in_a_batch_from_heads_on_regions(models, sampler):
    model = with_sampler(models["diffusion_inst"], SAMPLERS[sampler]())
    for together, alone in zip(model(inputs()), inputs(), strict=True):  # rounding grows from head to head
        assert_same_with_masks(together["instances"], model([alone])[0]["instances"], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_s_distinct_proposals_do_not_depend_on_the_batch(models, name):
    model = with_sampler(models[name], SinglePass(DISTINCT, ClassWiseNMS(0.8, min_passes=1)))
    for together, alone in zip(model(inputs()), inputs(), strict=True):
        assert_same_detections(together["instances"], model([alone])[0]["instances"])


def passes_of(model, images):
    memory = model.encode(model.preprocess(images))
    return model.sample(memory, images)


@torch.no_grad()
@pytest.mark.parametrize("name", [*BASELINES, *DIFFUSION])
def test_images_of_these_tests_differ_in_their_number_of_queries(models, name):
    """Else the tests above would compare batches without padding."""
    sampler = SinglePass(DISTINCT) if name in BASELINES else SAMPLERS["distinct"]()
    (only,) = passes_of(with_sampler(models[name], sampler), inputs())
    numbers = only.queries.valid.sum(1)
    assert only.queries.boxes.shape[1] == numbers.max() < 30 and len(set(numbers.tolist())) > 1


@torch.no_grad()
def test_images_of_these_tests_stop_at_different_passes(models):
    passes = passes_of(with_sampler(models["diffu_dino_r50"], SAMPLERS["stopped"]()), inputs())
    counts = sum(torch.ones(3) if each.active is None else each.active for each in passes)
    assert len(set(counts.tolist())) > 1


@torch.no_grad()
@pytest.mark.parametrize("name", [*BASELINES, *DIFFUSION])
def test_each_query_has_content_and_positions_of_its_own_proposal(models, name):
    """A start that puts all proposals into another order changes nothing but the order of the predictions."""

    class Reversed(ProposalStart):
        def choose(self, proposals):
            queries = super().choose(proposals)
            numbers = torch.arange(proposals.shape[1] - 1, -1, -1).expand(len(proposals), -1)
            return replace(queries, boxes=queries.boxes.flip(1), source=numbers)

    def run(start):
        sampler = SinglePass(start) if name in BASELINES else chain(1, start=start)
        return passes_of(with_sampler(models[name], sampler), inputs())[0].prediction

    forward, backward = run(ProposalStart()), run(Reversed())
    assert_close(backward.boxes.flip(1), forward.boxes, rtol=1e-4, atol=1e-4)
    assert_close(backward.confidence.flip(1), forward.confidence, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*BASELINES, *DIFFUSION, *WITH_MASKS])
def test_detections_come_from_queries_that_count(models, name, dtype):
    sampler = SinglePass(DISTINCT) if name in BASELINES else SAMPLERS["distinct"]()
    model = with_sampler(models[name], sampler)
    model.select_box_nums_for_evaluation = 10_000
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        (only,) = passes_of(model, inputs())
    for i, found in enumerate(only.prediction.outputs["detections"]):
        number = int(only.queries.valid[i].sum())
        assert len(found.scores) == number * 7 and found.queries.max() == number - 1
        assert found.scores.isfinite().all() and found.boxes_xyxy.isfinite().all()
    assert (only.prediction.confidence[~only.queries.valid] == 0).all()


def without_dropout(model):
    """The model itself, whose dropout would depend on the number of queries."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


class Padded(DistinctProposalStart):
    """Distinct proposals, padded to as many queries as there are proposals."""

    def number(self, distinct):
        return distinct.shape[1]


@pytest.mark.parametrize("counts", [(3,), (0,), (25,)])
@pytest.mark.parametrize("name", [*BASELINES, "dino_inst"])
def test_queries_that_do_not_count_change_no_loss_and_no_gradient(models, name, counts):
    """With denoising queries before them, with more objects than queries, and without objects."""
    model = without_dropout(models[name] if name in models else models.setdefault(name, build(name)))
    losses, gradients = [], []
    for start in (DISTINCT, Padded(0.05)):
        each = with_sampler(model, SinglePass(start)).train()
        each.zero_grad()
        torch.manual_seed(0)
        losses.append(each([image(64, 96, i, count) for i, count in enumerate(counts)]))
        sum(losses[-1].values()).backward()
        gradients.append({key: p.grad.clone() for key, p in each.named_parameters() if p.grad is not None})
        each.zero_grad()
        each.eval()
    assert losses[0].keys() == losses[1].keys() and len(gradients[0]) > 0
    for loss in losses[0]:
        assert_close(losses[0][loss], losses[1][loss], rtol=1e-4, atol=1e-5)
    for key, gradient in gradients[0].items():
        assert_close(gradient, gradients[1][key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_trains_with_distinct_proposals(models, name):
    train_and_evaluate(with_sampler(models[name], SinglePass(DISTINCT)), counts=(3, 0, 25))


@pytest.mark.parametrize("start", [ProposalStart, DistinctProposalStart, FilledProposalStart])
def test_a_model_without_proposals_refuses_to_start_from_them(start):
    model = shrink_inst(load_model("models/diffusion_inst_r50"))
    model.sampler.start = L(start)()
    with pytest.raises(ValueError, match=f"model.sampler.start is {start.__name__}; DiffusionDet makes no proposals"):
        instantiate(model)


@torch.no_grad()
def test_fewer_places_in_the_image_than_queries(models):
    """A map of few cells has fewer proposals than queries; the others are empty and the same."""
    tiny = [image(32, 32, 0), image(64, 96, 1)]
    for name in ("dino_r50", "diffu_dino_r50"):
        sampler = SinglePass(DISTINCT) if name in BASELINES else SAMPLERS["distinct, renewed"]()
        model = with_sampler(models[name], sampler)
        for together, alone in zip(model(tiny), tiny, strict=True):
            assert_same_detections(together["instances"], model([alone])[0]["instances"])


@torch.no_grad()
def test_distinct_starts_without_a_seed_differ_only_where_they_draw(models):
    once, again = (
        detect_unseeded(models["diffu_dino_r50"], chain(1, start=DISTINCT, seed=None), seed) for seed in (0, 1)
    )
    assert_same_detections(once, again)
    renewed = chain(2, start=DISTINCT, renewal=DistinctRenewal(0.1), seed=None)
    once, again = (detect_unseeded(models["diffu_dino_r50"], renewed, seed) for seed in (0, 1))
    assert not torch.equal(once.scores[:5], again.scores[:5]) or len(once) != len(again)


def detect_unseeded(model, sampler, seed):
    torch.manual_seed(seed)
    return with_sampler(model, sampler)([image(64, 96, 0)])[0]["instances"]


def test_the_released_samplers_are_the_defaults():
    model = instantiate(tiny_config("diffu_dino_r50"))
    assert type(model.sampler.start).__name__ == "GaussianStart"
    assert model.sampler.times is model.sampler.stop is None
    assert len(detect(model.eval(), [image(64, 96, 0)])[0]) > 0
