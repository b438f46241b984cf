import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from projects.diffu_base.engine.replay import replay
from projects.diffu_base.engine.trainer import Trainer
from tests.projects.diffu_base.engine.tiny import TinyDetector, TinyMapper, tiny_dataset


def batches():
    np.random.seed(0)  # of the augmentation
    mapper = TinyMapper()
    batch = [mapper(record) for record in tiny_dataset(4)]
    while True:
        yield batch


def trained(steps: int = 2, *, noise: float = 0.0, nan_at: int = -1, lr: float = 0.1, **options) -> Trainer:
    torch.manual_seed(0)
    model = TinyDetector(noise=noise, nan_at=nan_at)
    torch.manual_seed(1)
    trainer = Trainer(model, batches(), torch.optim.SGD(model.parameters(), lr=lr), **options)
    trainer.train(0, steps)
    return trainer


def test_accumulation_of_a_mean_over_images_gives_the_gradient_of_the_whole_batch():
    whole, parts = trained(), trained(accumulation_steps=4)
    for (name, p), q in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, msg=name)
    for name in ("loss_l1", "loss_l2", "total_loss"):
        assert whole.storage.latest()[name][0] == pytest.approx(parts.storage.latest()[name][0], rel=1e-5)


def test_parts_must_divide_the_batch():
    with pytest.raises(ValueError, match="train.accumulation_steps is 3, which does not divide the 4 images"):
        trained(accumulation_steps=3)


def test_clipping_bounds_the_step():
    start = trained(0).model
    clipped = trained(1, lr=1.0, clip_grad={"max_norm": 0.01, "norm_type": 2}).model
    moved = [(p - q).square().sum() for p, q in zip(start.parameters(), clipped.parameters(), strict=True)]
    assert sum(moved).sqrt().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_close_to_float32(dtype):
    exact, mixed = trained(3), trained(3, amp_dtype=dtype)
    assert mixed.grad_scaler.is_enabled() == (dtype == torch.float16)
    assert exact.storage.latest()["total_loss"][0] == pytest.approx(mixed.storage.latest()["total_loss"][0], rel=0.03)
    assert all(p.dtype == torch.float32 for p in mixed.model.parameters())


def test_float16_skips_the_step_of_an_overflow_and_lowers_the_scale():
    torch.manual_seed(0)
    model = TinyDetector(noise=0.0)
    trainer = Trainer(model, batches(), torch.optim.SGD(model.parameters(), lr=0.1), amp_dtype=torch.float16)
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**125)
    before = [p.clone() for p in model.parameters()]
    trainer.train(0, 1)
    assert trainer.grad_scaler.get_scale() < 2.0**125
    for p, q in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 2}, {"amp_dtype": torch.bfloat16}])
def test_non_finite_loss_stops_before_the_step_and_replays(tmp_path, options):
    torch.manual_seed(0)
    # the noise differs in every pass, so only restored random streams give the same losses
    model = TinyDetector(noise=1.0, nan_at=2)
    trainer = Trainer(
        model, batches(), torch.optim.SGD(model.parameters(), lr=0.1), output_dir=str(tmp_path), **options
    )
    seen = defaultdict(list)
    hook = model.register_forward_hook(lambda module, inputs, losses: seen["weights"].append(model.head.weight.clone()))
    with pytest.raises(FloatingPointError, match=r"iteration \d: loss_l1 = 0\.\d+, loss_l2 = nan; .*--replay") as error:
        trainer.train(0, 5)
    hook.remove()
    torch.testing.assert_close(model.head.weight, seen["weights"][-1])  # not updated
    iteration = 1 if "accumulation_steps" in options else 2
    path = tmp_path / f"nonfinite_iter_{iteration:07d}.pth"
    assert path.is_file() and str(path) in str(error.value)

    fresh = TinyDetector(noise=1.0, nan_at=3 if iteration == 2 else 4)  # the saved count of passes is after the NaN
    losses, before = replay(str(path), fresh, **options)
    assert losses["loss_l1"] == pytest.approx(before["loss_l1"], rel=1e-6)
    assert math.isnan(losses["loss_l2"]) and math.isnan(before["loss_l2"])


def test_weights_that_were_broken_before_are_named():
    model = TinyDetector()
    model.head.bias.data[0] = math.inf
    trainer = Trainer(model, batches(), torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(FloatingPointError, match="already not finite before this iteration: head.bias"):
        trainer.train(0, 1)
