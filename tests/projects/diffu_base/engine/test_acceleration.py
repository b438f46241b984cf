"""What is faster or smaller gives the same losses, gradients and detections."""

import copy

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch.testing import assert_close

from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.acceleration import accelerate, transformer_layers
from projects.diffu_base.engine.build import build_model
from projects.diffu_base.engine.evaluation import evaluate
from projects.diffu_base.engine.trainer import Trainer
from projects.diffu_base.modeling.backbones.swin import SwinTransformer
from tests.projects.diffu_base.engine.runs import config, run
from tests.support.tiny_models import tiny_model

pytestmark = pytest.mark.slow

SETTINGS = ("channels_last", "activation_checkpointing", "compile_layers")


def model_with(*settings: str) -> torch.nn.Module:
    return accelerate(tiny_model("diffu_dino_r50"), **{name: name in settings for name in SETTINGS})


def batch() -> list[dict]:
    inputs = []
    for i, (height, width) in enumerate([(64, 96), (72, 64)]):
        image = torch.randint(256, (3, height, width), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        boxes = Boxes(torch.tensor([[4.0, 4.0, 30.0, 40.0], [10.0, 20.0, 60.0, 60.0]]))
        instances = Instances((height, width), gt_boxes=boxes, gt_classes=torch.tensor([1, 5]))
        inputs.append({"image": image, "instances": instances, "image_id": i})
    return inputs


def losses_and_gradients(model: torch.nn.Module) -> tuple[dict, dict]:
    torch.manual_seed(0)
    losses = model.train()(batch())
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("setting", ["channels_last", "activation_checkpointing"])
def test_losses_and_gradients_stay(setting):
    (losses, gradients), (fast_losses, fast_gradients) = map(losses_and_gradients, (model_with(), model_with(setting)))
    assert_close(fast_losses, losses, rtol=1e-5, atol=1e-5)
    assert fast_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        # Rounding may cross the kinks of ReLU and bilinear sampling.
        assert (fast_gradients[name] - gradient).norm() <= 2e-3 * gradient.norm() + 1e-6, name


@pytest.mark.parametrize("setting", ["channels_last", "activation_checkpointing"])
def test_detections_and_names_of_weights_stay(setting):
    plain, fast = model_with(), model_with(setting)
    assert plain.state_dict().keys() == fast.state_dict().keys()
    results = []
    for model in (plain, fast):
        torch.manual_seed(0)
        results.append(model(batch()))
    for expected, actual in zip(*([r["instances"] for r in result] for result in results), strict=True):
        assert_close(actual.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=0, atol=1e-3)
        assert_close(actual.scores, expected.scores, rtol=0, atol=1e-5)


def test_checkpointed_layers_keep_no_activations():
    kept = {}
    for setting in ((), ("activation_checkpointing",)):
        model, saved = model_with(*setting).train(), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x):
            torch.manual_seed(0)
            model(batch())
        kept[setting] = sum(saved)
    assert kept["activation_checkpointing",] < 0.6 * kept[()]


def test_checkpointed_swin_blocks_keep_nothing_else_and_change_nothing():
    outputs, kept = [], []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        swin, saved = SwinTransformer(8, (1, 2, 1), (1, 2, 2), window_size=4, drop_path_rate=0.5, out_indices=(2,)), []
        accelerate(swin, channels_last=False, activation_checkpointing=checkpointed)
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x):
            torch.manual_seed(1)  # of the skipped paths
            maps = swin(torch.randn(2, 3, 70, 50))
        maps["p2"].square().mean().backward()
        outputs.append((maps, {name: p.grad for name, p in swin.named_parameters()}))
        kept.append(sum(saved))
    assert_close(*outputs)
    assert kept[1] < 0.5 * kept[0]


def test_compile_reaches_every_transformer_layer():
    layers = list(transformer_layers(model_with("compile_layers")))
    assert len(layers) == 3 and all(layer._compiled_call_impl is not None for layer in layers)


@pytest.mark.parametrize("setting", ["activation_checkpointing", "compile"])
def test_a_model_without_transformer_layers_is_refused(setting, tmp_path):
    with pytest.raises(ValueError, match=f"train.{setting} is True, but TinyDetector"):
        run(tmp_path, f"train.{setting}=True")


def test_a_run_resumes_where_the_memory_format_was_another():
    """Fused AdamW pairs weights and moments by their place in memory."""

    def trainer(memory_format: torch.memory_format) -> Trainer:
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
        return Trainer(model, [], torch.optim.AdamW(model.parameters(), lr=0.1, fused=True))

    def step(trainer: Trainer) -> None:
        trainer.optimizer.zero_grad()
        torch.manual_seed(1)
        trainer.model(torch.rand(1, 3, 8, 8)).sin().sum().backward()
        trainer.optimizer.step()

    whole, resumed = trainer(torch.contiguous_format), trainer(torch.channels_last)
    step(whole)
    resumed.model.load_state_dict(whole.model.state_dict())
    resumed.optimizer.zero_grad()
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    step(whole), step(resumed)
    assert_close(dict(resumed.model.named_parameters()), dict(whole.model.named_parameters()))


def test_evaluation_runs_under_autocast_on_request():
    cfg = config("train.amp.evaluate=True")
    model, seen = build_model(cfg.model, "cpu"), []
    model.head.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    evaluate(model, cfg.dataloader, dtype=TrainOptions.of(cfg).eval_dtype)
    assert set(seen) == {torch.bfloat16}
    evaluate(model, cfg.dataloader)
    assert seen[-1] == torch.float32


def test_bfloat16_detections_are_close_to_float32():
    model = tiny_model("dino_r50")
    plain = model(batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(batch())
    for expected, actual in zip(plain, mixed, strict=True):
        assert actual["instances"].scores.dtype == torch.float32
        assert_close(actual["instances"].scores[:20], expected["instances"].scores[:20], rtol=0.1, atol=0.01)


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_switch(tmp_path, allowed):
    precision, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        run(tmp_path, f"train.tf32={allowed}", "train.max_iter=3", "train.eval_period=0")
        assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")
        assert torch.backends.cudnn.allow_tf32 == allowed
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = cudnn
