"""Plans a training on one's own data: from what the data are like to batch, schedule, sizes and number of boxes."""

import math
from dataclasses import dataclass, field

from omegaconf import DictConfig, OmegaConf

from datasets_utils.own_data.facts import DataFacts
from datasets_utils.transforms import FastResizeShortestEdge

from .schedules import set_schedule

SMALL_OBJECT = 16  # an object of fewer pixels than this is hard to find on maps of stride 8
MOST_ENLARGED = 2  # images are enlarged at most so many times for small objects
ROOM = 1.5  # boxes per object of the fullest image
FEWEST_UPDATES_PER_EPOCH = 10
BYTES_PER_PIXEL = 6_000  # that training a model of the size of a ResNet-50 takes, roughly


@dataclass
class Plan:
    """What was chosen, a line for each choice, and what the user should know."""

    choices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_training(
    cfg: DictConfig, facts: DataFacts, *, epochs: int, memory: int | None, trained_queries: bool = False
) -> Plan:
    """Set sizes, number of boxes, batch, learning rate and schedule of a run on one's own data, in place.

    Args:
        cfg: a run whose training augmentation ends in a resizing to one of several short edges.
        facts: of the training data.
        epochs: passes over the training images.
        memory: bytes of the GPU; None: there is no GPU.
        trained_queries: the run starts from a detector, so learned queries cannot become more.
    """
    plan = Plan(warnings=facts.warnings())
    _set_boxes(cfg, facts, plan, trained_queries=trained_queries)
    short_edge = _set_resize(cfg, facts, plan)
    pixels = int(short_edge**2 * min(facts.aspect, 5 / 3))
    batch = _set_batch(cfg, facts, pixels, memory, plan)
    per_epoch = math.ceil(facts.num_images / batch)
    iterations = max(2, epochs * per_epoch)
    set_schedule(cfg, iterations, [max(1, iterations * 5 // 6)], warmup_iters=min(100, iterations // 10))
    cfg.train.eval_period = max(per_epoch, iterations // 20)
    cfg.train.checkpointer.update(period=cfg.train.eval_period, max_to_keep=1)
    if cfg.train.model_ema.enabled:
        # The average reaches back over about a tenth of the run, at most as far as the config's.
        cfg.train.model_ema.decay = min(cfg.train.model_ema.decay, round(1 - 10 / max(iterations, 20), 4))
    plan.choices.append(
        f"schedule: {epochs} epochs of {per_epoch} updates = {iterations} iterations, the rate falls to a tenth after "
        f"{iterations * 5 // 6}; an evaluation every {cfg.train.eval_period}"
    )
    return plan


def _set_boxes(cfg: DictConfig, facts: DataFacts, plan: Plan, *, trained_queries: bool) -> None:
    """Make room for the objects of the fullest image in queries, detections and evaluation."""
    model = cfg.model
    key = "num_queries" if "num_queries" in model else "num_proposals"
    wanted = 100 * math.ceil(ROOM * facts.most_objects / 100)
    learned = OmegaConf.select(model, "transformer.tgt_embed", default=None) is not None
    if wanted > model[key] and learned and trained_queries:
        plan.warnings.append(
            f"an image has {facts.most_objects} objects, and the model that training starts from has {model[key]} "
            "queries, which are learned; a model without learned queries, such as DiffuDINO, can have more"
        )
    elif wanted > model[key]:
        model[key] = wanted
    if not OmegaConf.is_interpolation(model, "select_box_nums_for_evaluation"):
        detections = max(model.select_box_nums_for_evaluation, min(wanted, model[key]))
        model.select_box_nums_for_evaluation = detections
    kept = model.select_box_nums_for_evaluation
    if "evaluator" in cfg.dataloader:
        cfg.dataloader.evaluator.max_dets = max(cfg.dataloader.evaluator.max_dets, min(wanted, kept))
    plan.choices.append(
        f"boxes: {model[key]} queries, {kept} detections kept, for at most {facts.most_objects} objects in an image"
    )


def _set_resize(cfg: DictConfig, facts: DataFacts, plan: Plan) -> int:
    """Choose the short edge: the config's, the images' own if they are smaller, more if objects would be small."""
    test = cfg.dataloader.test.mapper.augmentation[0]
    usual = test.short_edge_length
    natural = min(float(usual), facts.short_edge)
    needed = natural
    if facts.object_size:
        needed = facts.short_edge * SMALL_OBJECT / facts.object_size
    largest = MOST_ENLARGED * natural
    chosen = max(64, 32 * round(min(max(natural, needed), largest) / 32))
    max_size = 32 * math.ceil(chosen * min(max(facts.aspect, 4 / 3), 2.5) / 32)
    test.update(short_edge_length=chosen, max_size=max_size)
    edges = tuple(range(int(0.75 * chosen) // 16 * 16, int(1.1 * chosen) + 1, 16))
    for each in cfg.dataloader.train.mapper.augmentation:
        if each["_target_"] is FastResizeShortestEdge or str(each["_target_"]).endswith("FastResizeShortestEdge"):
            each.update(short_edge_length=edges, max_size=int(1.1 * max_size))
    cfg.dataloader.train.mapper.augmentation_with_crop = None
    small = facts.object_size * chosen / facts.short_edge
    plan.choices.append(
        f"resize: short edge {chosen} in tests and {edges[0]} to {edges[-1]} in training, of images with "
        f"{facts.short_edge:.0f}; a quarter of the objects is then below {small:.0f} px"
    )
    return chosen


def _set_batch(cfg: DictConfig, facts: DataFacts, pixels: int, memory: int | None, plan: Plan) -> int:
    """Choose the batch of an update, how many images of it are computed at once, and the rate that goes with it."""
    usual = cfg.dataloader.train.total_batch_size
    batch = usual if memory is not None else min(usual, 4)
    while batch > 2 and facts.num_images // batch < FEWEST_UPDATES_PER_EPOCH:
        batch //= 2
    at_once = batch if memory is None else max(1, int(memory / (BYTES_PER_PIXEL * pixels)))
    steps = next(n for n in range(1, batch + 1) if batch % n == 0 and batch // n <= max(at_once, 1))
    cfg.dataloader.train.total_batch_size = batch
    cfg.train.accumulation_steps = steps
    rate = cfg.optimizer.lr
    cfg.optimizer.lr = float(f"{rate * math.sqrt(batch / usual):.2g}")
    plan.choices.append(
        f"batch: {batch} images per update, {batch // steps} at once; learning rate {cfg.optimizer.lr:g}"
        + ("" if batch == usual else f" (the config has {usual} images and {rate:g}; the rate goes by the square root)")
    )
    return batch
