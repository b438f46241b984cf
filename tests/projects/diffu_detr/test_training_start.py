"""Training that starts where inference does, in whole models: gradients, modes, states and contents."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from layers_diffu_detr.content import SampledContent, StateAddedToContent, StateAsContent
from layers_diffu_detr.denoising import DiffusedQueries, NoisyFiller
from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate
from layers_diffu_detr.ldm.passes import QueryBoxes
from layers_diffu_detr.ldm.renewal import DistinctRenewal
from layers_diffu_detr.ldm.starts import DistinctProposalStart, GaussianStart
from layers_diffu_detr.training_starts import DuplicatedQueries, MixedQueries, ProposalQueries, RolledOutQueries
from projects.diffu_base.config.distinct import use_distinct_queries
from tests.support.detection import assert_same_detections, detect, image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

CHAIN = L(DDIMSampler)(num_steps=3, update=L(DDIMUpdate)(), start=L(GaussianStart)(), renewal=L(DistinctRenewal)())
STARTS = {
    "proposals": L(ProposalQueries)(start=L(DistinctProposalStart)()),
    "roll-out": L(RolledOutQueries)(sampler=CHAIN),
    "duplicates": L(DuplicatedQueries)(filler=L(NoisyFiller)(), copies=[2, 3]),
    "mixture": L(MixedQueries)(
        starts=[L(DiffusedQueries)(filler=L(NoisyFiller)()), L(ProposalQueries)(start=L(DistinctProposalStart)())]
    ),
}


def config(name="diffu_dino_r50", start=None, **transformer):
    model = tiny_config(name, embed_dim=64, num_queries=20)
    if "dn_number" in model:
        model.dn_number = 4
    if start is not None:
        model.diffused_queries = STARTS[start]
    model.transformer.update(transformer)
    return model


def build(*args, **kwargs):
    return fill(instantiate(config(*args, **kwargs)), salt=1)


def batch():
    return [image(64, 96, 0, count=3), image(96, 64, 1, count=1)]


@pytest.mark.parametrize(("start", "counts"), [*((start, (3, 0)) for start in STARTS), ("duplicates", (0, 0))])
def test_every_parameter_is_trained_with_and_without_objects(start, counts):
    train_and_evaluate(build(start=start), counts)


@pytest.mark.parametrize("name", ["deformable_detr_r50", "diffu_detr_r50", "diffu_aligndetr_r50"])
def test_distinct_queries_train_in_every_family(name):
    model = config(name)
    use_distinct_queries(model, most=8)
    model = fill(instantiate(model), salt=1)
    if model.diffusion is not None:
        model.sampler.times = [40, 20, 0]  # `detect` makes three passes
    seen = queries_of(model)
    train_and_evaluate(model, (3, 0))
    assert set(seen) == {8} and len(seen) == (2 if model.diffusion is None else 4)


def queries_of(model):
    """The numbers of matching queries that the decoder gets, collected from now on."""
    numbers = []
    decode = model.transformer.decode

    def counted(memory, content, boxes, *args, **kwargs):
        mask = kwargs.get("attn_mask")
        numbers.append(boxes.shape[1] if mask is None else int((~mask.any(0)).sum()))
        return decode(memory, content, boxes, *args, **kwargs)

    model.transformer.decode = counted
    return numbers


def test_a_roll_out_runs_in_the_mode_of_training_and_leaves_no_trace():
    """It has no gradient and changes no buffer; backbone and encoder run once; dropout is on as in the trained pass."""
    model = build(start="roll-out").train()
    model.neck = nn.ModuleList([model.neck, nn.BatchNorm2d(64)])
    neck, norm = model.neck
    model.neck.forward = lambda maps: [norm(level) for level in neck(maps)]
    encoder, decoder = [], []
    model.transformer.encoder.register_forward_hook(lambda *_: encoder.append(True))
    model.transformer.decoder.register_forward_hook(
        lambda module, _, output: decoder.append((module.training, output[0].requires_grad))
    )
    seen = set()
    for _ in range(8):
        encoder.clear()
        decoder.clear()
        batches = int(norm.num_batches_tracked)
        model(batch())
        assert decoder == [(True, False)] * (len(decoder) - 1) + [(True, True)]
        assert encoder == [True] and int(norm.num_batches_tracked) == batches + 4  # once per level
        assert model.training and torch.is_grad_enabled()
        seen.add(len(decoder))
    assert seen == {1, 2, 3}


def test_a_roll_out_under_autocast_leaves_every_parameter_its_gradient():
    """Autocast keeps the weights' casts. One that was made without gradients must not serve the trained pass."""
    model = build(start="roll-out", self_conditioning=L(StateAddedToContent)(embed_dim="${...embed_dim}")).train()
    model.diffused_queries.sampler.num_steps = 3
    for seed in range(4):
        torch.manual_seed(seed)
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            losses = model(batch())
        sum(losses.values()).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []
        layers = model.transformer.decoder.layers
        assert all(p.grad.any() for p in layers[0].ffns.parameters())


def test_a_proposal_s_query_has_its_content():
    model = build(start="proposals").eval()
    model.diffused_queries.start.iou_threshold = 0.01
    with torch.no_grad():
        memory = model.encode(model.preprocess(batch()))
        proposals = model.transformer.propose(memory, model.num_boxes)
        queries = model.prepare_queries(memory, proposals, model.prepare_targets(batch()))
        start, t = model.training_start(memory, proposals, model.prepare_targets(batch()))
    number = start.boxes.shape[1]
    for i in range(2):
        expected = proposals.features[i, start.source[i]]
        assert_close(queries.content[i, -number:], expected)
        assert_close(queries.boxes[i, -number:], proposals.boxes[i, start.source[i]])
    assert start.source[0].tolist() != list(range(number)) and t.tolist() == [0, 0]


# ---- content sampled at boxes ----


def sampling(name="diffu_dino_r50", **slots):
    return build(name, box_content=L(SampledContent)(), tgt_embed=None, **slots)


@pytest.mark.parametrize("name", ["diffu_dino_r50", "deformable_detr_r50"])
def test_sampled_content_trains(name):
    train_and_evaluate(sampling(name), (3, 0))


@torch.no_grad()
def test_sampled_content_follows_the_box_from_pass_to_pass():
    model = sampling().eval()
    memory = model.encode(model.preprocess(batch()[:1]))
    proposals = model.transformer.propose(memory, model.num_boxes)
    image_content = model.transformer.queries(memory, proposals)

    def content(boxes):
        return model.transformer.content_of(QueryBoxes(boxes), memory, *image_content)[0]

    boxes = torch.rand(1, model.num_boxes, 4)
    assert_close(content(boxes.flip(1)), content(boxes).flip(1))
    assert (content(boxes) - content((boxes + 0.3) % 1)).abs().mean() > 0.1
    model.transformer.box_content = None
    assert_close(content(boxes), content((boxes + 0.3) % 1))


def test_sampled_content_is_the_same_alone_and_in_a_batch():
    model = sampling().eval()
    together = detect(model, batch())
    for each, inputs in zip(together, batch(), strict=True):
        (alone,) = detect(model, [inputs])
        assert_same_detections(each, alone)


def test_sampled_content_gives_memory_no_gradient_as_that_of_proposals():
    model = sampling(start="proposals").eval()
    memory = model.encode(model.preprocess(batch()))
    proposals = model.transformer.propose(memory, model.num_boxes)
    content, _ = model.transformer.content_of(
        QueryBoxes(proposals.boxes), memory, *model.transformer.queries(memory, proposals)
    )
    assert memory.tokens.requires_grad and not content.requires_grad


def test_sampled_and_learned_content_exclude_each_other():
    with pytest.raises(ValueError, match=r"transformer.box_content or transformer.tgt_embed"):
        build("dino_r50", box_content=L(SampledContent)())


# ---- self-conditioning ----


def test_a_state_reaches_the_next_pass_in_inference():
    plain, conditioned = build().eval(), build(self_conditioning=L(StateAsContent)()).eval()
    load_weights(conditioned, plain.state_dict())
    one, same = (detect(model, batch(), num_steps=1) for model in (plain, conditioned))
    assert_same_detections(one[0], same[0])
    two, other = (detect(model, batch(), num_steps=2)[0].scores for model in (plain, conditioned))
    assert len(two) != len(other) or (two - other).abs().max() > 1e-3


@pytest.mark.parametrize("start", [None, "roll-out"])
def test_a_conditioning_layer_gets_a_gradient_in_every_batch(start):
    """The released start has no states; DistributedDataParallel would wait for the layer."""
    model = build(start=start, self_conditioning=L(StateAddedToContent)(embed_dim="${...embed_dim}"))
    gradients = set()
    for seed in range(6):
        torch.manual_seed(seed)
        losses = model.train()(batch())
        sum(losses.values()).backward()
        gradients.add(bool(model.transformer.self_conditioning.projection.weight.grad.any()))
        model.zero_grad()
    assert gradients == ({False} if start is None else {True, False})


def test_a_layer_for_states_is_new_to_a_checkpoint_and_changes_nothing_at_first():
    plain = build().eval()
    added = instantiate(config(self_conditioning=L(StateAddedToContent)(embed_dim="${...embed_dim}"))).eval()
    report = load_weights(added, plain.state_dict())
    assert report.initialised == ["transformer.self_conditioning.projection.weight"]
    assert_same_detections(detect(added, batch(), num_steps=2)[0], detect(plain, batch(), num_steps=2)[0])


def test_learned_content_of_a_checkpoint_is_left_out_where_it_comes_from_the_image():
    released, model = build("dino_r50"), config("dino_r50")
    use_distinct_queries(model, most=8)
    report = load_weights(instantiate(model), released.state_dict())
    assert report.ignored == {
        "transformer.tgt_embed.weight": "learned content of queries, which here comes from the image"
    }


def test_a_baseline_has_no_state_to_pass_on():
    with pytest.raises(ValueError, match="self_conditioning passes a state from pass to pass; a baseline has one"):
        build("dino_r50", self_conditioning=L(StateAsContent)())
