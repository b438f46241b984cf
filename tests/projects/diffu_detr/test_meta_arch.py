"""DiffuDETR and Deformable DETR: inputs and outputs, what is computed once, noise, mixed precision, errors."""

import copy

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.structures import Boxes, Instances
from omegaconf import DictConfig
from torch.testing import assert_close

from layers_diffu_detr.ldm.ddim import DDIMSampler, DDIMUpdate, SinglePass
from projects.diffu_detr.modeling.meta_arch import DiffuDETR
from projects.diffu_detr.modeling.queries import Queries
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

KINDS = ("baseline", "diffusion")
QUERIES = 12


def config(kind: str) -> DictConfig:
    """Tiny Deformable DETR, or DiffuDETR."""
    return tiny_config({"baseline": "deformable_detr_r50", "diffusion": "diffu_detr_r50"}[kind], num_queries=QUERIES)


def build(kind: str) -> DiffuDETR:
    return fill(instantiate(config(kind)), salt=1).eval()


@pytest.fixture(scope="module")
def models():
    return {kind: build(kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def model(request, models):
    """Either model. The sampler, which tests change, is restored afterwards; tests do not change weights."""
    model = models[request.param]
    sampler = model.sampler
    model.sampler = copy.copy(sampler)
    yield model.eval()
    model.sampler = sampler
    model.zero_grad()


@pytest.fixture
def diffusion_model(models):
    model = models["diffusion"]
    sampler = model.sampler
    model.sampler = copy.copy(sampler)
    yield model.eval()
    model.sampler = sampler
    model.zero_grad()


def image(height=64, width=96, image_id=0):
    pixels = torch.randint(
        256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(image_id)
    )
    return {"image": pixels, "image_id": image_id}


def instances(height=64, width=96, count=2, label=3):
    corners = torch.tensor([8.0, 8.0, 40.0, 56.0]).expand(count, -1)
    return Instances((height, width), gt_boxes=Boxes(corners), gt_classes=torch.full((count,), label))


def count_calls(*modules):
    counts = [0] * len(modules)

    def hook(index):
        def count(*_):
            counts[index] += 1

        return count

    handles = [module.register_forward_hook(hook(i)) for i, module in enumerate(modules)]
    return counts, handles


# ---- results ----


@torch.no_grad()
def test_detections_are_instances_in_the_output_s_size_best_first(model):
    torch.manual_seed(0)
    (small,) = model([image()])
    torch.manual_seed(0)
    (large,) = model([{**image(), "height": 128, "width": 288}])
    assert small["instances"].image_size == (64, 96) and large["instances"].image_size == (128, 288)
    found = small["instances"]
    assert set(found.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
    assert 0 < len(found) <= model.select_box_nums_for_evaluation
    assert (found.scores[:-1] >= found.scores[1:]).all() and (0 <= found.scores).all() and (found.scores <= 1).all()
    assert found.pred_classes.dtype == torch.int64 and found.pred_classes.max() < model.num_classes
    corners = found.pred_boxes.tensor
    assert (corners >= 0).all() and (corners <= torch.tensor([96, 64, 96, 64])).all()
    assert_close(large["instances"].pred_boxes.tensor, corners * torch.tensor([3, 2, 3, 2]), rtol=1e-5, atol=1e-3)


@torch.no_grad()
def test_float_images_and_images_without_id_or_size_are_accepted(model):
    model.sampler.seed = 1
    pixels = image()["image"]
    (from_bytes,), (from_floats,) = model([{"image": pixels}]), model([{"image": pixels.float()}])
    assert_close(from_bytes["instances"].scores, from_floats["instances"].scores)


@torch.no_grad()
def test_no_detections_when_all_boxes_are_degenerate(models):
    for kind in KINDS:
        model = copy.deepcopy(models[kind]).eval()
        for head in model.bbox_embed:
            head.layers[-1].bias[2:] = -200.0
        results = model([image(), image(64, 64, image_id=1)])
        for result, size in zip(results, ((64, 96), (64, 64)), strict=True):
            found = result["instances"]
            assert len(found) == 0 and found.image_size == size and found.pred_boxes.tensor.shape == (0, 4)


def test_training_gives_weighted_losses_of_every_layer(model):
    model.train()
    losses = model([{**image(), "instances": instances()}])
    kinds, suffixes = ("loss_class", "loss_bbox", "loss_giou"), ("", "_0", "_enc")
    assert set(losses) == {kind + suffix for kind in kinds for suffix in suffixes}
    assert all(loss.shape == () and loss.requires_grad and loss.isfinite() for loss in losses.values())


# ---- what depends on the image alone is computed once ----


@torch.no_grad()
@pytest.mark.parametrize("num_steps", [1, 3, 5])
def test_only_the_decoder_runs_once_per_step(diffusion_model, num_steps):
    model, transformer = diffusion_model, diffusion_model.transformer
    model.sampler.num_steps = num_steps
    once = [model.backbone, model.neck, transformer.encoder]
    values = [layer.attentions[1].value_proj for layer in transformer.decoder.layers]
    counts, handles = count_calls(*once, *values, transformer.decoder, transformer.time_embed)
    try:
        model([image()])
    finally:
        for handle in handles:
            handle.remove()
    assert counts == [1] * len(once) + [1] * len(values) + [num_steps, num_steps]


@torch.no_grad()
@pytest.mark.parametrize(
    "kind, content, computed", [("diffusion", "learned", 0), ("diffusion", "encoder", 1), ("baseline", "encoder", 1)]
)
def test_inference_computes_proposals_only_where_they_are_read(models, kind, content, computed):
    model = copy.deepcopy(models[kind]).eval()
    if content == "encoder":
        model.transformer.tgt_embed = None
    counts, _ = count_calls(model.transformer.enc_output)
    model([image()])
    model.train()([{**image(), "instances": instances()}])
    assert counts == [computed + 1]  # training always reads them


@torch.no_grad()
def test_reused_values_give_the_decoding_that_training_gives(diffusion_model):
    model, inputs = diffusion_model, [image(64, 96), image(96, 64, image_id=1)]
    model.sampler.num_steps, model.sampler.seed = 1, 5
    memory = model.encode(model.preprocess(inputs))
    assert memory.padding_mask is not None
    proposals = model.transformer.propose(memory, QUERIES)
    (only,) = model.sample(memory, inputs)
    content, _ = model.transformer.queries(memory, proposals)
    expected = model.decode_layers(
        memory, Queries(only.queries, content, only.queries.boxes, t=torch.full((2,), only.t))
    )[-1]
    assert_close(only.prediction.boxes, expected["pred_boxes"])
    scores, classes = expected["pred_logits"].sigmoid().max(-1)
    assert_close(only.prediction.confidence, scores)
    assert torch.equal(only.prediction.outputs["classes"], classes)


@torch.no_grad()
def test_no_pass_keeps_its_class_logits(diffusion_model):
    model = diffusion_model
    memory = model.encode(model.preprocess([image()]))
    passes = model.sample(memory, [image()])
    for each in passes:
        assert set(each.prediction.outputs) == {"detections", "classes"}
        (found,) = each.prediction.outputs["detections"]
        assert len(found.scores) == min(model.select_box_nums_for_evaluation, QUERIES * model.num_classes)
        assert each.prediction.outputs["classes"].shape == (1, QUERIES)


# ---- noise ----


@torch.no_grad()
def test_without_a_seed_noise_comes_from_the_global_generator(diffusion_model):
    def scores(seed):
        torch.manual_seed(seed)
        return diffusion_model([image()])[0]["instances"].scores

    assert_close(scores(0), scores(0), rtol=0, atol=0)
    first, other = scores(0), scores(1)
    assert len(first) != len(other) or not torch.equal(first, other)
    torch.manual_seed(0)
    diffusion_model([image()])
    after = torch.rand(1)
    torch.manual_seed(0)
    for _ in range(1 + diffusion_model.sampler.num_steps):
        torch.randn(1, QUERIES, 4)
    assert torch.equal(after, torch.rand(1))


@torch.no_grad()
def test_with_a_seed_noise_depends_on_seed_and_image_id_alone(diffusion_model):
    def first_boxes(seed, image_id):
        diffusion_model.sampler.seed = seed
        torch.manual_seed(image_id)  # must not matter
        ((first, *_),) = diffusion_model.trajectory([{**image(), "image_id": image_id}])
        return first["boxes"]

    assert torch.equal(first_boxes(4, 7), first_boxes(4, 7))
    assert not torch.equal(first_boxes(4, 7), first_boxes(5, 7))
    assert not torch.equal(first_boxes(4, 7), first_boxes(4, 8))
    before = torch.get_rng_state()
    diffusion_model([image()])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("num_steps", [0, 100, 1.5])
def test_a_number_of_steps_that_is_not_possible_is_refused(diffusion_model, num_steps):
    diffusion_model.sampler.num_steps = num_steps
    with pytest.raises(ValueError, match=f"num_steps is {num_steps}; 100 timesteps allow 1 to 99"):
        diffusion_model([image()])


# ---- mixed precision ----


def test_training_in_bf16_is_finite_with_boxes_in_float32(model):
    model.train()
    seen = {}
    handle = model.criterion.register_forward_hook(lambda _, args, losses: seen.update(args[0]))
    try:
        with torch.autocast("cpu", torch.bfloat16):
            losses = model(
                [{**image(), "instances": instances()}, {**image(80, 64, 1), "instances": instances(80, 64)}]
            )
            sum(losses.values()).backward()
    finally:
        handle.remove()
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert seen["pred_logits"].dtype == torch.bfloat16  # so autocast was active
    for layer in (seen, *seen["aux_outputs"], seen["enc_outputs"]):
        assert layer["pred_boxes"].dtype == torch.float32


@torch.no_grad()
def test_inference_in_bf16_is_finite_with_boxes_and_scores_in_float32(model):
    with torch.autocast("cpu", torch.bfloat16):
        results = model([image(), image(80, 64, 1)])
    for result in results:
        found = result["instances"]
        assert len(found) > 0
        assert found.pred_boxes.tensor.dtype == found.scores.dtype == torch.float32
        assert found.pred_boxes.tensor.isfinite().all() and found.scores.isfinite().all()


# ---- parameters and errors ----


def test_what_the_config_determines_is_not_in_the_state_dict(model):
    heads = {f"transformer.decoder.{name}" for name in ("class_embed", "bbox_embed")}
    assert not [name for name in model.state_dict() if "alphas" in name or "betas" in name or "pixel" in name]
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    assert set(model.state_dict()) == parameters
    assert any(name.startswith(tuple(heads)) for name in parameters)


def test_wrong_combinations_are_refused():
    def attempt(kind, **overrides):
        settings = config(kind)
        for key, value in overrides.items():
            settings[key] = value
        instantiate(settings)

    with pytest.raises(ValueError, match="model.diffusion and model.diffused_queries go together"):
        attempt("diffusion", diffused_queries=None)
    with pytest.raises(ValueError, match="model.diffusion and model.diffused_queries go together"):
        attempt("baseline", diffused_queries=config("diffusion").diffused_queries)
    with pytest.raises(ValueError, match="model.diffusion and model.transformer.time_embed go together"):
        attempt("diffusion", diffusion=None, diffused_queries=None)
    with pytest.raises(ValueError, match="model.diffusion and model.sampler.*DDIMSampler"):
        attempt("baseline", sampler=L(DDIMSampler)(num_steps=3, update=L(DDIMUpdate)()))
    with pytest.raises(ValueError, match="model.diffusion and model.sampler.*SinglePass"):
        attempt("diffusion", sampler=L(SinglePass)())
