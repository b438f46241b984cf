"""Wrong values in any part of a config are refused when it is read, by key, value and what is allowed."""

import functools
import re

import pytest
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn

from projects.diffu_base import get_config
from projects.diffu_base.config.checks import check_config

RUN = "diffu_dino/demo/digits-inst"
DETR = "diffu_detr/coco-r50-4scales-50ep"
BASELINE = "diffu_detr/baseline-deformable-detr-r50-4scales-50ep"
BOXES = "diffusion_inst/demo/digits"
LVIS = "diffusion_inst/lvis-r50-3x"
OWN = "diffu_dino/custom-r50-4scales"
DISTINCT = "diffu_dino/demo/digits-distinct"


def read(name: str, *overrides: str) -> DictConfig:
    cfg = get_config(name, *overrides)
    check_config(cfg)
    return cfg


def refusal(name: str, *overrides: str) -> str:
    with pytest.raises(ValueError) as refused:
        read(name, *overrides)
    return str(refused.value)


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("dataloader.train.total_batch_size=0", "greater than or equal to 1"),
        ("dataloader.train.num_workers=-1", "greater than or equal to 0"),
        ("dataloader.train.mapper.is_train=1", "boolean"),
        ("dataloader.test.batch_size=1.5", "integer"),
        ("dataloader.evaluator.max_dets=10", "greater than or equal to 11"),
        ("dataloader.evaluator.backend=cocoapi", "'auto', 'hotcoco' or 'pycocotools'"),
        ("dataloader.train.mapper.augmentation.0.sample_style=any", "'range' or 'choice'"),
        ("dataloader.train.mapper.augmentation.0.short_edge_length.1=0", "greater than or equal to 1"),
        ("optimizer.lr=-0.1", "greater than or equal to 0"),
        ("optimizer.weight_decay=-0.1", "greater than or equal to 0"),
        ("optimizer.params.backbone_lr_factor=-1", "greater than or equal to 0"),
        ("lr_multiplier.warmup_length=2", "less than or equal to 1"),
        ("lr_multiplier.warmup_method=cosine", "'linear' or 'constant'"),
        ("digit_scenes.crowded_fraction=1.5", "less than or equal to 1"),
        ("model.num_queries=0", "greater than or equal to 1"),
        ("model.num_classes=-2", "greater than or equal to 1"),
        ("model.dn_number=-1", "greater than or equal to 0"),
        ("model.label_noise_ratio=1.1", "less than or equal to 1"),
        ("model.pixel_mean=RGB", "list"),
        ("model.select_box_nums_for_evaluation=0", "greater than or equal to 1"),
        ("model.mask_head.num_layers=0", "greater than or equal to 1"),
        ("model.sampler.num_steps=0", "greater than or equal to 1"),
        ("model.sampler.last_time=1", "0 or -1"),
        ("model.sampler.update.eta=1.5", "less than or equal to 1"),
        ("model.sampler.merge.iou_threshold=0", "greater than 0"),
        ("model.sampler.merge.iou_threshold=1.2", "less than or equal to 1"),
        ("model.sampler.seed=zero", "integer"),
        ("model.diffusion.signal_scale=0", "greater than 0"),
        ("model.diffusion.betas.num_timesteps=0", "greater than or equal to 1"),
        ("model.transformer.encoder.attn_dropout=1", "less than 1"),
        ("model.transformer.decoder.num_layers=0", "greater than or equal to 1"),
        ("model.criterion.matcher.cost_giou=-2", "greater than or equal to 0"),
        ("model.criterion.class_loss.alpha=2", "less than or equal to 1"),
        ("model.criterion.weight_dict.loss_mask=-1", "greater than or equal to 0"),
        ("model.criterion.weight_dict.loss_msk=5.0", "no such key"),
        ("model.backbone=resnet50", "object"),
        ("model.backbone=null", "object"),
        ("model.input_format=RGBA", "'RGB' or 'BGR'"),
        ("dataloader.train.mapper.img_format=L", "'RGB' or 'BGR'"),
        ("train.seed=4294967296", "less than 4294967296"),
        ("train.output_dir=", "at least 1 character"),
        ("train.amp=true", "several keys"),
    ],
)
def test_a_wrong_value(override: str, allowed: str):
    key, _, value = override.partition("=")
    message = refusal(RUN, f"+{override}" if key.endswith("loss_msk") else override)
    shown = {"null": "None", "true": "True"}.get(value, value)
    assert re.match(rf"{re.escape(key)} is '?{re.escape(shown)}'?; .*{allowed}", message), message
    assert message.count("\n") == 0  # what follows the key is not named again


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (RUN, ["model.sampler.num_steps=100"], r"model.sampler.num_steps is 100; 100 timesteps allow 1 to 99"),
        (RUN, ["model.diffusion.betas.num_timesteps=3"], r"model.sampler.num_steps is 3; 3 timesteps allow 1 to 2"),
        (BOXES, ["model.sampler.num_steps=1001"], r"model.sampler.num_steps is 1001; 1000 timesteps allow 1 to 1000"),
        (RUN, ["model.sampler.times=[33,10]"], r"model.sampler.num_steps is 3; sampler.times \[33, 10\] allow 1 to 2"),
        (RUN, ["model.sampler.times=[10,33]"], r"model.sampler.times is \[10, 33\]; .*falling timesteps below 100"),
        (RUN, ["model.sampler.times=[100,33]"], r"model.sampler.times is \[100, 33\]; .*below 100 and above 0"),
        (BOXES, ["model.sampler.times=[]"], r"model.sampler.times is \[\]; .*below 1000 and above -1"),
        (RUN, ["model.transformer.decoder.num_heads=7"], r"model.transformer.decoder.num_heads is 7; .*embed_dim, 128"),
        (BOXES, ["model.roi_head.num_attention_heads=5"], r"roi_head.num_attention_heads is 5; .*embed_dim, 96"),
        (RUN, ["model.neck.norm_layer.num_groups=24"], r"model.neck.norm_layer.num_groups is 24; .*num_channels, 128"),
        (RUN, ["model.neck.num_outs=2"], r"model.neck.num_outs is 2; 3 in_features"),
        (RUN, ["optimizer.betas=[0.9,1.0]"], r"optimizer.betas is \[0.9, 1.0\]; .*\[0, 1\)"),
        (RUN, ["optimizer.betas=[0.9]"], r"optimizer.betas is \[0.9\]; .*2 items"),
        (
            RUN,
            ["lr_multiplier.scheduler.milestones=[1800]"],
            r"lr_multiplier.scheduler.milestones is \[1800\]; .*inside \(0, 1800\)",
        ),
        (
            LVIS,
            ["lr_multiplier.scheduler.milestones=[250000,210000]"],
            r"milestones is \[250000, 210000\]; they must increase",
        ),
        (RUN, ["lr_multiplier.scheduler.milestones=[]"], r"milestones is \[\]; 2 values need 1 of them"),
        (
            DETR,
            [f"model.criterion.matcher.cost_{name}=0" for name in ("class", "bbox", "giou")],
            r"model.criterion.matcher.cost_class is 0.0; of cost_class, cost_bbox and cost_giou one",
        ),
        (
            "diffu_dino/ablations/contrastive",
            ["model.criterion.weight_dict.loss_contrastive=null"],
            r"model.criterion.weight_dict.loss_contrastive is None; contrastive needs",
        ),
        (LVIS, ["model.criterion.class_loss.num_sampled=1"], r"class_loss.num_sampled is 1; .*equal to 2"),
        (LVIS, ["dataloader.train.repeat_thresh=0"], r"dataloader.train.repeat_thresh is 0; .*greater than 0"),
        (BASELINE, ["model.sampler.merge={iou_threshold: 0.5}"], r"model.sampler.merge is dict; an object"),
        (RUN, ["train.checkpointer.best_metric=bbox/mAP"], r"best_metric is 'bbox/mAP'; .*bbox/AP, .*segm/AP"),
        (DETR, ["train.checkpointer.best_metric=segm/AP"], r"best_metric is 'segm/AP'; .*bbox/AP, .*"),
        (LVIS, ["train.checkpointer.best_metric=bbox/AP-cat"], r"best_metric is 'bbox/AP-cat'; .*bbox/APr"),
        (DISTINCT, ["model.diffused_queries.t=100"], r"model.diffused_queries.t is 100; 100 timesteps allow 0 to 99"),
        (DISTINCT, ["model.diffused_queries.t=-1"], r"model.diffused_queries.t is -1; .*equal to 0"),
        (
            BASELINE,
            ["+model.transformer.self_conditioning={_target_: layers_diffu_detr.content.StateAsContent}"],
            r"model.transformer.self_conditioning is dict; a baseline has one pass",
        ),
        (
            "diffu_dino/demo/baseline-dino-digits",
            ["+model.transformer.box_content={_target_: layers_diffu_detr.content.SampledContent}"],
            r"model.transformer.tgt_embed is dict; box_content makes the content",
        ),
        *(
            (DISTINCT, [f"model.diffused_queries={{_target_: layers_diffu_detr.training_starts.{call}}}"], message)
            for call, message in (
                ("MixedQueries, starts: []", r"diffused_queries.starts is \[\]; .*at least 1 item"),
                (
                    "DuplicatedQueries, filler: {}, copies: [4, 3]",
                    r"diffused_queries.copies is \[4, 3\]; .*not be smaller",
                ),
                ("DuplicatedQueries, filler: {}, copies: [0, 3]", r"diffused_queries.copies.0 is 0; .*equal to 1"),
            )
        ),
        (OWN, ["data.read_images=maybe"], r"data.read_images is 'maybe'; .*boolean"),
    ],
)
def test_values_that_do_not_fit_each_other(name: str, overrides: list[str], message: str):
    assert re.search(message, refusal(name, *overrides))


@pytest.mark.parametrize("metric", ["segm/APs", "bbox_raw/AP", "bbox/AP-a class that only the data know"])
def test_a_metric_that_the_evaluator_may_report(metric: str):
    assert get_config(RUN).train.model_ema.use_ema_weights_for_eval_only
    read(RUN, f"train.checkpointer.best_metric={metric}", "train.model_ema.eval_both=true")


@pytest.mark.parametrize(
    "key", ["model.num_queries", "model.criterion.weight_dict.loss_giou_dn", "model.sampler.update"]
)
def test_a_missing_value(key: str):
    cfg = get_config(RUN)
    parent, _, name = key.rpartition(".")
    del OmegaConf.select(cfg, parent)[name]
    with pytest.raises(ValueError, match=f"{key} is missing"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.sampler.num_step=3", "model.sampler.num_step is no argument of DDIMSampler; it takes num_steps"),
        ("optimizer.weigth_decay=0", "optimizer.weigth_decay is no argument of AdamW; it takes weight_decay"),
        ("model.diffusion.noise.scale=1", "model.diffusion.noise.scale is no argument of GaussianNoise; it takes none"),
        ("dataloader.train.batch_size=2", "dataloader.train.batch_size is no argument of build_train_loader"),
        (
            "model.num_proposals=2",
            "model.num_proposals is no argument of DiffuDINOInst; it takes backbone, embed_dim, ",
        ),
    ],
)
def test_an_argument_that_is_none(override: str, message: str):
    assert message in refusal(RUN, override)


def test_arguments_of_others_that_no_option_explains_are_taken():
    assert read(RUN, "optimizer.maximize=True", "model.backbone.num_classes=null").optimizer.maximize


def test_all_wrong_keys_are_named_at_once_and_each_of_them_once():
    message = refusal(RUN, "train.max_iter=0", "model.sampler.num_steps=0", "model.embed_dim=0", "optimizer.lr=-1")
    keys = sorted(line.split()[0] for line in message.splitlines())
    assert keys == ["model.embed_dim", "model.sampler.num_steps", "optimizer.lr", "train.max_iter"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.criterion.num_classes", "${..num_clases}", r"num_clases"),
        ("model.backbone._target_", "no.such.Backbone", r"model.backbone._target_ is 'no.such.Backbone'"),
    ],
)
def test_what_leads_nowhere(key: str, value: str, message: str):
    cfg = get_config(RUN)
    OmegaConf.update(cfg, key, value)
    with pytest.raises(ValueError, match=message):
        check_config(cfg)


@pytest.mark.parametrize("name", [RUN, BASELINE, LVIS, OWN])
def test_a_config_that_a_run_saved_is_checked_alike(tmp_path, name: str):
    saved = str(tmp_path / "config.yaml")
    LazyConfig.save(get_config(name), saved)
    read(saved)
    message = refusal(saved, "optimizer.params.backbone_lr_factor=-1", "dataloader.test.batch_size=0")
    assert [line.split()[0] for line in message.splitlines()] == [
        "dataloader.test.batch_size",
        "optimizer.params.backbone_lr_factor",
    ]


def test_objects_of_ones_own_are_not_checked_but_what_is_known_inside_of_them_is():
    cfg = get_config(RUN)
    cfg.model.neck = L(nn.Sequential)(first=L(nn.GroupNorm)(num_groups=3, num_channels=8), any_key=-1)
    with pytest.raises(ValueError) as refused:
        check_config(cfg)
    assert str(refused.value) == "model.neck.first.num_groups is 3; it must divide num_channels, 8"
    cfg.model.neck.first.num_groups = 4
    check_config(cfg)


def test_a_value_that_is_computed_later_is_taken():
    cfg = get_config(OWN)  # its classes are counted from a file that is not named yet
    check_config(cfg)
    cfg.model.transformer.encoder.num_heads = L(functools.partial)(func=int)
    check_config(cfg)


def test_keys_that_nothing_reads_are_told_in_the_log(caplog):
    read(RUN, "+dataloader.evaluators=null", "+train.amp.dtyp=float16", "+data.train_jsn=x", "+note=trial")
    assert sorted(message.split()[0] for message in caplog.messages) == [
        "data.train_jsn",
        "dataloader.evaluators",
        "train.amp.dtyp",
    ]
    assert "there is dataloader.evaluator" in caplog.text
