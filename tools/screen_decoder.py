"""Screens training recipes in a minute each: trains the decoder alone, on encoder outputs that are computed once.

    python tools/screen_decoder.py --config-file CONFIG --checkpoint TRAINED --output-dir DIR --name NAME
        [--iterations 400] [--lr 3e-4] [--seed 0] [--evaluations 1 2] [key=value ...]

A recipe is a config with overrides. Decoder, heads and all other parts behind the encoder start from the checkpoint's
averaged weights, where it has such parts; of a decoder with more layers, those beyond the checkpoint's start as copies
of its last one. Backbone, encoder and the proposals' heads stay as they are. Their outputs for the training batches are
kept in DIR, so that all recipes of a checkpoint see the same ones.

The tool prints AP without and with NMS for each number of decoder evaluations. It adds the recipe to
DIR/screening.json and writes all recipes of that file into a table, DIR/screening.md.
"""

import argparse
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tabulate
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from layers_diffu_detr.checkpoint_file import read_checkpoint
from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import build_loader, build_optimizer, new_model
from projects.diffu_base.engine.checkpoint import atomic_write
from projects.diffu_base.engine.evaluation import evaluate
from projects.diffu_base.engine.rng import seed_everything
from projects.diffu_detr.modeling.meta_arch import DiffuDETR
from tools.ablation.results import file_digest
from tools.measuring.measure import parse_arguments

NMS = ClassWiseNMS(iou_threshold=0.8, min_passes=1)
WARMUP = 20  # iterations
Batch = tuple[Any, list[dict]]  # memory, inputs


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--checkpoint", required=True, help="of a trained model with the same backbone and encoder")
    parser.add_argument("--output-dir", required=True, metavar="DIR")
    parser.add_argument("--name", required=True, help="of the recipe, in screening.json")
    parser.add_argument("--iterations", type=int, default=400, metavar="N")
    parser.add_argument("--lr", type=float, default=3e-4, help="after a warmup it falls to 0 along a cosine")
    parser.add_argument("--seed", type=int, default=0, help="of training; the batches are always the same")
    parser.add_argument("--evaluations", type=int, nargs="+", default=[1], metavar="N", help="of the decoder")
    parser.add_argument("opts", nargs="*", metavar="key=value", help="overrides of the config")
    return parser


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse_arguments(argument_parser(), arguments)
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(args.config_file, args.opts, num_gpus=0)
    model = new_model(cfg.model, TrainOptions.of(cfg))
    if not isinstance(model, DiffuDETR):
        raise SystemExit(f"error: {args.config_file} is a {type(model).__name__}; a model of the DETR family is needed")
    start_from(model, args.checkpoint)
    batches = encoded_batches(
        model, cfg.dataloader.train, args.iterations, folder / f"memory-{file_digest(args.checkpoint)[:8]}.pt"
    )
    seed_everything(args.seed)
    start = time.monotonic()
    loss = train(model, cfg.optimizer, batches, args.lr)
    seconds = time.monotonic() - start
    result = {
        "config_file": args.config_file,
        "overrides": args.opts,
        "seed": args.seed,
        "iterations": args.iterations,
        "lr": args.lr,
        "loss": loss,
        "seconds": round(seconds),
        "AP": {f"{n} evaluations": average_precisions(model, cfg.dataloader, n) for n in args.evaluations},
    }
    results = save(folder / "screening.json", args.name, result)
    atomic_write(table(results) + "\n", str(folder / "screening.md"))
    print(f"{args.name}: " + json.dumps(result["AP"]))
    return result


def start_from(model: DiffuDETR, checkpoint: str) -> None:
    """Load the checkpoint's averaged weights wherever `model` has a tensor of the same name and shape."""
    content = read_checkpoint(checkpoint)
    weights = content.get("ema_state") or content["model"]
    last = max(int(name.split(".")[3]) for name in weights if name.startswith("transformer.decoder.layers."))
    layers = model.transformer.decoder.num_layers
    own = model.state_dict()
    found = {}
    for name, tensor in own.items():
        source = weights.get(name_in_checkpoint(name, layers, last + 1))
        if source is not None and source.shape == tensor.shape:
            found[name] = source
    if not any(name.startswith("backbone.") for name in found):
        raise SystemExit(f"error: {checkpoint} has no backbone like the config's")
    model.load_state_dict(found, strict=False)


def name_in_checkpoint(name: str, layers: int, checkpoint_layers: int) -> str:
    """What a parameter of a decoder with `layers` layers is called in a checkpoint whose decoder has another number.

    The proposals' heads come after the decoder layers'.
    """
    words = name.split(".")
    for i, word in enumerate(words[:-1]):
        if word in ("class_embed", "bbox_embed") and words[i + 1].isdigit():
            number = int(words[i + 1])
            words[i + 1] = str(checkpoint_layers if number == layers else min(number, checkpoint_layers - 1))
    if words[:3] == ["transformer", "decoder", "layers"]:
        words[3] = str(min(int(words[3]), checkpoint_layers - 1))
    return ".".join(words)


def encoded_batches(model: DiffuDETR, loader: DictConfig, number: int, file: Path) -> list[Batch]:
    """`number` training batches with the encoder's memory of them. They are read from `file` if it has as many."""
    if file.is_file():
        batches = torch.load(file, weights_only=False)
        if len(batches) >= number:
            return batches[:number]
    model.eval()
    seed_everything(0)
    batches = []
    with torch.no_grad():
        for batch in build_loader(loader, seed=0, start_iter=0):
            batches.append((model.encode(model.preprocess(batch)), batch))
            if len(batches) == number:
                break
            if len(batches) % 50 == 0:
                print(f"encoded {len(batches)} of {number} batches", flush=True)
    torch.save(batches, file)
    return batches


def frozen(model: DiffuDETR) -> Iterator[nn.Module]:
    """The parts whose outputs are kept, and the proposals' heads."""
    transformer = model.transformer
    yield from (model.backbone, model.neck, transformer.encoder, transformer.enc_output, transformer.enc_output_norm)
    yield from transformer.proposal_heads


def train(model: DiffuDETR, optimizer: DictConfig, batches: list[Batch], lr: float) -> float:
    """Train what is behind the encoder, one iteration per batch; returns the mean loss of the last 50."""
    for module in frozen(model):
        module.requires_grad_(False)
    model.transformer.level_embeds.requires_grad_(False)
    built = build_optimizer(optimizer, model)
    rates = torch.optim.lr_scheduler.LambdaLR(built, lambda i: learning_rate(i, len(batches)) * lr / optimizer.lr)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()
    losses = []
    for number, (memory, inputs) in enumerate(batches, 1):
        model.encode = always(memory)  # type: ignore[method-assign, assignment]
        loss = torch.stack(list(model(inputs).values())).sum()
        built.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.1)
        built.step()
        rates.step()
        losses.append(float(loss.detach()))
        if number % 100 == 0:
            print(f"iteration {number}: loss {sum(losses[-100:]) / 100:.2f}", flush=True)
    del model.encode  # the class's method again
    return sum(losses[-50:]) / len(losses[-50:])


def always(memory: Any) -> Callable[[list[Tensor]], Any]:
    """An encoder that returns the same memory for all images."""
    return lambda images: memory


def learning_rate(iteration: int, iterations: int) -> float:
    """The multiplier of an iteration's learning rate."""
    return min(1.0, (iteration + 1) / WARMUP) * (1 + math.cos(math.pi * iteration / iterations)) / 2


def average_precisions(model: DiffuDETR, dataloader: DictConfig, evaluations: int) -> dict[str, list[float]]:
    """AP, AP50 and AP75 without and with NMS."""
    model.eval()
    model.sampler.num_steps = evaluations
    results = {}
    for name, merge in (("no NMS", None), ("NMS", NMS)):
        model.sampler.merge = merge
        logging.disable(logging.INFO)
        metrics = evaluate(model, dataloader)["bbox"]
        logging.disable(logging.NOTSET)
        results[name] = [round(metrics[metric], 1) for metric in ("AP", "AP50", "AP75")]
    return results


def save(file: Path, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Add the recipe to the file, where an older result of its name is replaced; returns all results of the file."""
    results = {**(json.loads(file.read_text()) if file.is_file() else {}), name: result}
    atomic_write(json.dumps(results, indent=1), str(file))
    return results


def table(results: dict[str, Any]) -> str:
    """All recipes in Markdown, a line for each number of evaluations."""
    lines = [
        [name, evaluations.split()[0], *(f"{ap[nms][0]:.1f}" for nms in ("no NMS", "NMS")), f"{ap['no NMS'][2]:.1f}"]
        for name, result in results.items()
        for evaluations, ap in result["AP"].items()
    ]
    headers = ["recipe", "evaluations", "AP, no NMS", "AP, NMS", "AP75, no NMS"]
    return tabulate.tabulate(lines, headers, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
