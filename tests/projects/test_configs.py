"""Every config file: it loads from any directory, its model can be built, its values follow each other, it is thin."""

import ast
import copy
import functools
from pathlib import Path

import pytest
import torch
import torchvision
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from omegaconf import DictConfig, ListConfig
from torch import nn

from projects.diffu_base import get_config
from projects.diffu_base.config.reference import explain
from projects.diffu_base.config.walk import plain_values
from tests.support.custom_tree import write_custom_tree
from tests.support.tiny_models import tiny_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
COMMON = sorted((ROOT / "configs").rglob("*.py"))
MODELS = sorted(ROOT.glob("projects/*/configs/models/*.py"))
DETR_MODELS = [path for path in MODELS if path.match("projects/diffu_*/configs/models/*.py")]
RUNS = [path for path in sorted(ROOT.glob("projects/*/configs/**/*.py")) if path not in MODELS]
MOST_CHANGES = 15  # of a config to the one that it starts from


@functools.cache
def _read(path: Path) -> DictConfig:
    return get_config(str(path))


def load(path: Path) -> DictConfig:
    """A copy of the config of `path`, which is read once."""
    return copy.deepcopy(_read(path))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def build(model: DictConfig) -> nn.Module:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return instantiate(model)


@pytest.fixture(autouse=True)
def another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", [*COMMON, *MODELS], ids=name)
def test_a_part_loads_and_its_model_is_built(path: Path):
    cfg = load(path)
    if "model" in cfg:
        build(cfg.model)
        assert_every_interpolation_resolves(cfg)
    assert_starts_from_others_by_name(path)


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_a_run_is_whole(path: Path, tmp_path: Path):
    cfg = load(path)
    assert_starts_from_others_by_name(path)
    assert_is_a_delta(path)
    assert cfg == LazyConfig.load(str(path))  # as other tools on detectron2 read it
    assert {"model", "dataloader", "optimizer", "lr_multiplier", "train"} <= cfg.keys()
    if "data" in cfg:  # one's own, whose classes are counted
        cfg.data.update(write_custom_tree(tmp_path / "data"))
    assert_every_interpolation_resolves(cfg)
    assert_every_key_is_explained(cfg)
    assert_the_schedule_covers_the_run(cfg)
    assert_the_optimizer_has_every_parameter(cfg, build(cfg.model))
    # The loaders read images in the order of channels that the model expects.
    assert cfg.dataloader.train.mapper.img_format == cfg.dataloader.test.mapper.img_format == cfg.model.input_format


def assert_starts_from_others_by_name(path: Path) -> None:
    """Imports of config files would depend on where the files lie."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and "configs" not in (node.module or "").split(".")


def assert_is_a_delta(path: Path) -> None:
    """The file starts from another config and states a few changes, without loops, branches and functions."""
    statements = ast.parse(path.read_text()).body
    assert all(isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign) for node in statements)
    assert sum(isinstance(node, ast.Assign) for node in statements) <= MOST_CHANGES


def assert_every_interpolation_resolves(node: DictConfig | ListConfig) -> None:
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        value = node[key]  # resolves, or raises
        if isinstance(value, DictConfig | ListConfig):
            assert_every_interpolation_resolves(value)


def assert_every_key_is_explained(cfg: DictConfig) -> None:
    entries = explain(plain_values(cfg))
    assert [entry.key for entry in entries if not (entry.is_explained and entry.sentence)] == []


def assert_the_schedule_covers_the_run(cfg: DictConfig) -> None:
    assert cfg.lr_multiplier.scheduler.num_updates == cfg.train.max_iter
    schedule = instantiate(cfg.lr_multiplier)
    assert schedule(1.0) < schedule(0.5) <= 1.0


def assert_the_optimizer_has_every_parameter(cfg: DictConfig, model: nn.Module) -> None:
    cfg.optimizer.params.model = model
    groups = instantiate(cfg.optimizer.params)
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("path", [path for path in RUNS if "r101" in path.stem], ids=name)
def test_resnet_101_starts_from_torchvision_s_file(path: Path):
    """detectron2 has an R-50 of torchvision's, but no R-101."""
    cfg = load(path)
    resnet = cfg.model.backbone.get("bottom_up", cfg.model.backbone)
    assert resnet.stages.depth == 101
    assert cfg.train.init_checkpoint == torchvision.models.ResNet101_Weights.IMAGENET1K_V1.url


def test_every_run_has_an_output_folder_of_its_own():
    folders = [load(path).train.output_dir for path in RUNS]
    assert len(set(folders)) == len(folders)


def test_images_are_read_in_the_order_that_the_model_states():
    cfg = get_config("diffu_dino/custom-r50-4scales", "model.input_format=BGR")
    assert cfg.dataloader.train.mapper.img_format == cfg.dataloader.test.mapper.img_format == "BGR"
    assert get_config("common/data/coco_detr").dataloader.train.mapper.img_format == "RGB"  # without a model


@pytest.mark.parametrize("path", DETR_MODELS, ids=name)
def test_sizes_reach_every_part(path: Path):
    overrides = [
        "model.num_classes=5",
        "model.num_queries=11",
        "model.transformer.decoder.num_layers=2",
        "model.transformer.num_feature_levels=5",
    ]
    model = build(get_config(str(path), *overrides).model)
    assert {head.out_features for head in model.class_embed} == {5}
    assert model.criterion.num_classes == 5
    if hasattr(model, "denoising"):
        assert model.denoising.num_classes == 5
        assert model.label_enc.num_embeddings in (5, 6)  # released diffusion models have one row for filler boxes
    learned_content = model.transformer.tgt_embed
    assert learned_content is None or learned_content.num_embeddings == 11
    assert len(model.class_embed) == len(model.bbox_embed) == 3
    assert {key.rpartition("_")[2] for key in model.criterion.weight_dict if key[-1].isdigit()} == {"0"}
    assert len(model.transformer.level_embeds) == 5


@pytest.mark.parametrize("path", DETR_MODELS, ids=name)
def test_embedding_dimension_reaches_every_part(path: Path):
    model = tiny_model(path.stem, embed_dim=64)
    assert model.transformer.level_embeds.shape[1] == 64
    instances = Instances((64, 64), gt_boxes=Boxes([[8.0, 8, 40, 48]]), gt_classes=torch.tensor([1]))
    instances.gt_masks = BitMasks(torch.ones(1, 64, 64, dtype=torch.bool))
    inputs = [{"image": torch.zeros(3, 64, 64), "instances": instances}]
    assert len(model(inputs)[0]["instances"])
    assert all(loss.isfinite() for loss in model.train()(inputs).values())
