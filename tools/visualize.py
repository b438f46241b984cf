"""Draws detections beside ground truth, the denoising of one scene, and training curves; masks where a model has them.

`python tools/visualize.py --config-file CONFIG --checkpoint MODEL --output-dir DIR [key=value ...]`
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate
from detectron2.data import MetadataCatalog

from projects.diffu_base.commands.errors import run_tool
from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.evaluation import model_to_evaluate
from projects.diffu_base.modeling.detector import Detector
from tools.visualization.curves import training_curves
from tools.visualization.denoising import denoising_steps
from tools.visualization.detections import detections_beside_ground_truth


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="a LazyConfig with `model` and `dataloader`")
    parser.add_argument("--checkpoint", required=True, help="weights of that model")
    parser.add_argument("--output-dir", required=True, help="folder for the pictures")
    parser.add_argument("--metrics", help="metrics.json of the training run; default: beside the checkpoint, if there")
    parser.add_argument("--num-gpus", type=int, default=1, help="0 draws on the CPU")
    parser.add_argument("--num-scenes", type=int, default=8)
    parser.add_argument("--scene", type=int, default=0, help="index of the scene whose denoising is drawn")
    parser.add_argument("--score-threshold", type=float, default=0.4)
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. model.sampler.num_steps=5")
    args = parser.parse_args(arguments)

    cfg = load_config(args.config_file, args.opts, num_gpus=args.num_gpus)
    cfg.train.init_checkpoint = args.checkpoint
    model = model_to_evaluate(cfg.model, TrainOptions.of(cfg))

    names = instantiate(cfg.dataloader.test.dataset.names)
    scenes, mapper = instantiate(cfg.dataloader.test.dataset), instantiate(cfg.dataloader.test.mapper)
    style = {"class_names": MetadataCatalog.get(names).thing_classes, "score_threshold": args.score_threshold}
    output = Path(args.output_dir)
    written = [
        detections_beside_ground_truth(
            model, scenes, mapper, output / "detections.png", num_scenes=args.num_scenes, **style
        )
    ]
    if isinstance(model, Detector) and model.diffusion is not None:
        written.append(denoising_steps(model, scenes[args.scene], mapper, output / "denoising.png", **style))
    metrics = Path(args.metrics) if args.metrics else Path(args.checkpoint).parent / "metrics.json"
    if args.metrics or metrics.is_file():
        written.append(training_curves(metrics, output / "training.png"))
    for path in written:
        print(path)


if __name__ == "__main__":
    sys.exit(run_tool(main))
