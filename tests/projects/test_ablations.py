"""Every ablation config changes one slot of its base, and so what the model does in training, inference or both."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig

from tests.config_trees import slots_that_differ
from tests.detection import image
from tests.golden import fill
from tests.tiny_models import shrink

ROOT = Path(__file__).resolve().parents[2]
# Ablation -> (the slots it fills, whether training differs, whether inference with the same weights does).
DIFFU_DINO = {
    "noise-sigmoid": ({"diffusion.noise"}, True, True),
    "noise-beta": ({"diffusion.noise"}, True, True),
    "schedule-linear": ({"diffusion.betas"}, True, True),
    "schedule-sqrt": ({"diffusion.betas"}, True, True),
    "evaluations-1": ({"sampler.num_steps"}, False, True),
    "evaluations-5": ({"sampler.num_steps"}, False, True),
    "evaluations-10": ({"sampler.num_steps"}, False, True),
    "update-ddim": ({"sampler.update"}, False, True),
    "eta-1": ({"sampler.update.eta"}, False, True),
    "conditioning-additive": ({"transformer.decoder.conditioning"}, True, True),
    "content-learned": ({"transformer.tgt_embed"}, True, True),
    "filler-centre": ({"diffused_queries.filler"}, True, False),
    "proposals-objectness": ({"transformer.ranking", "transformer.supervision"}, True, True),
    "contrastive": ({"criterion.contrastive", "criterion.weight_dict.loss_contrastive"}, True, False),
}
ABLATIONS = {f"diffu_dino/configs/ablations/{name}.py": expected for name, expected in DIFFU_DINO.items()} | {
    "diffu_detr/configs/ablations/content-encoder.py": ({"transformer.tgt_embed"}, True, True),
}
FILES = sorted(
    path.relative_to(ROOT / "projects").as_posix() for path in ROOT.glob("projects/*/configs/ablations/*.py")
)


def base_of(path: Path) -> Path:
    """The config that an ablation starts from."""
    (base,) = re.findall(r'base_run\(__file__, "(.*?)"\)', path.read_text())
    return (path.parent / base).resolve()


@functools.cache
def read(path: Path) -> DictConfig:
    return LazyConfig.load(str(path))


@functools.cache
def outcome(path: Path) -> tuple[dict[str, float], torch.Tensor]:
    """The tiny model's losses and an image's scores, from weights and draws that depend on names and seeds alone."""
    model = shrink(copy.deepcopy(read(path).model), embed_dim=64, num_queries=15)
    if "dn_number" in model:
        model.dn_number = 6
    tiny = fill(instantiate(model), salt=3)
    torch.manual_seed(0)
    losses = tiny.train()([image(64, 96, 0, count=3), image(96, 64, 1, count=1)])
    tiny.eval().sampler.seed = 0
    with torch.no_grad():
        (found,) = tiny([image(64, 96, 0)])
    return {name: loss.item() for name, loss in losses.items()}, found["instances"].scores


def test_every_ablation_is_tested():
    assert set(FILES) == set(ABLATIONS)


@pytest.mark.parametrize("file", FILES)
def test_an_ablation_changes_its_slot_alone(file: str):
    path = ROOT / "projects" / file
    config, base = read(path), read(base_of(path))
    assert slots_that_differ(config.model, base.model) == ABLATIONS[file][0]
    assert slots_that_differ(config.train, base.train) == {"output_dir"}
    for key in ("optimizer", "lr_multiplier", "dataloader"):
        assert slots_that_differ(config[key], base[key]) == set()


@pytest.mark.parametrize("file", FILES)
def test_an_ablation_changes_what_the_model_does_and_nothing_besides(file: str):
    path = ROOT / "projects" / file
    if "contrastive" in file:
        pytest.importorskip("pytorch_metric_learning")
    (losses, scores), (base_losses, base_scores) = outcome(path), outcome(base_of(path))
    _, in_training, in_inference = ABLATIONS[file]
    assert (losses != base_losses) == in_training
    assert (not torch.equal(scores, base_scores)) == in_inference
