"""Every ablation config changes one slot of its base, and so what the model does in training, inference or both."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig

from projects.diffu_base.config.files import find_config
from tests.projects.diffusion_inst import tiny as diffusion_inst
from tests.support.config_trees import slots_that_differ
from tests.support.detection import image
from tests.support.golden import fill
from tests.support.tiny_models import shrink

pytestmark = pytest.mark.slow

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
    "one-to-many": (
        {"auxiliary_queries", *(f"criterion.weight_dict.loss_{kind}_many" for kind in ("class", "bbox", "giou"))},
        True,
        False,
    ),
    "contrastive": ({"criterion.contrastive", "criterion.weight_dict.loss_contrastive"}, True, False),
}
ABLATIONS = {f"diffu_dino/configs/ablations/{name}.py": expected for name, expected in DIFFU_DINO.items()} | {
    "diffu_detr/configs/ablations/content-encoder.py": ({"transformer.tgt_embed"}, True, True),
}
DIFFUSION_INST = {
    "evaluations-4": ({"sampler.num_steps"}, False, True),
    "evaluations-4-all": ({"sampler.num_steps", "sampler.ensemble"}, False, True),
    "last-mask-loss-1": ({"criterion.supervised", "criterion.weight_dict.loss_mask"}, True, False),
    "last-mask-loss-5": ({"criterion.supervised"}, True, False),
    "last-mask-loss-10": ({"criterion.supervised", "criterion.weight_dict.loss_mask"}, True, False),
    "mask-loss-1": ({"criterion.weight_dict.loss_mask"}, True, False),
    **{f"mask-channels-{n}": ({"mask_head.in_channels"}, True, True) for n in (1, 4, 16)},
    **{f"mask-layers-{n}": ({"mask_head.num_layers"}, True, True) for n in (1, 2, 4)},
    **{f"proposals-{n}": ({"num_proposals"}, True, True) for n in (100, 300, 1000)},
    "mask-levels-p3-p5": ({"mask_features"}, True, True),
}
ABLATIONS |= {f"diffusion_inst/configs/ablations/{name}.py": expected for name, expected in DIFFUSION_INST.items()}
FILES = sorted(
    path.relative_to(ROOT / "projects").as_posix() for path in ROOT.glob("projects/*/configs/ablations/*.py")
)


def base_of(path: Path) -> Path:
    """The config that an ablation starts from."""
    (base,) = re.findall(r'^_cfg = get_config\("(.*?)"\)', path.read_text(), flags=re.MULTILINE)
    return find_config(base)


@functools.cache
def read(path: Path) -> DictConfig:
    return LazyConfig.load(str(path))


def tiny(path: Path) -> DictConfig:
    """The model of a config, made small; numbers of proposals stay in proportion."""
    model = copy.deepcopy(read(path).model)
    if "num_proposals" in model:
        return diffusion_inst.shrink(model, num_proposals=model.num_proposals * 30 // 500)
    model = shrink(model, embed_dim=64, num_queries=15)
    if "dn_number" in model:
        model.dn_number = 6
    return model


@functools.cache
def outcome(path: Path) -> tuple[dict[str, float], list]:
    """The tiny model's losses and an image's scores and masks, from weights and draws that depend on names and seeds
    alone."""
    model = fill(instantiate(tiny(path)), salt=1)
    torch.manual_seed(0)
    losses = model.train()([image(64, 96, 0, count=3), image(96, 64, 1, count=1)])
    model.eval().sampler.seed = 0
    with torch.no_grad():
        found = model([image(64, 96, 0)])[0]["instances"]
    masks = found.pred_masks.tolist() if found.has("pred_masks") else None
    return {name: loss.item() for name, loss in losses.items()}, [found.scores.tolist(), masks]


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
    (losses, found), (base_losses, base_found) = outcome(path), outcome(base_of(path))
    _, in_training, in_inference = ABLATIONS[file]
    assert (losses != base_losses) == in_training
    assert (found != base_found) == in_inference
