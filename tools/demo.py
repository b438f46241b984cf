"""The demo, from data to pictures: builds the digit scenes, trains a small DiffuDINO, evaluates it, draws what it does.

    python tools/demo.py [--config-file CONFIG --output-dir output/digits] [key=value ...]

Any config of a `configs/demo` folder will do; the default is DiffuDINO's.

Training goes through tools/train_net.py and resumes where an interrupted demo stopped.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from omegaconf import DictConfig

from projects.diffu_base.commands.errors import run_tool
from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.evaluation import evaluate, model_to_evaluate
from tools import visualize

CONFIG_FILE = "projects/diffu_dino/configs/demo/digits.py"
DECODER_EVALUATIONS = (1, 3, 5)  # of a diffusion model; a baseline has one


def main() -> int:
    """Run the four steps; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default=str(REPOSITORY / CONFIG_FILE))
    parser.add_argument("--output-dir", default=str(REPOSITORY / "output" / "digits"))
    parser.add_argument("--num-gpus", type=int, default=1, help="0 runs on the CPU; without a GPU it does so by itself")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. train.max_iter=400")
    args = parser.parse_args()
    args.opts.append(f"train.output_dir={args.output_dir}")
    cfg = load_config(args.config_file, args.opts, num_gpus=args.num_gpus)
    start = time.monotonic()

    step(1, "the digit scenes")
    scenes = [override for override in args.opts if override.startswith("digit_scenes.")]
    run("tools/build_digit_scenes.py", "--config-file", args.config_file, *scenes)
    step(2, f"training, {cfg.train.max_iter} iterations")
    train = ["--config-file", args.config_file, "--num-gpus", str(args.num_gpus), "--resume", *args.opts]
    # On the CPU, two processes with a thread each are faster than one process with two threads: processes wait for each
    # other once per iteration, threads in every operation.
    processes = min(2, os.cpu_count() or 1) if cfg.train.device == "cpu" else 1
    run("tools/train_net.py", *train, processes=processes)
    evaluations = DECODER_EVALUATIONS if cfg.model.get("diffusion") else (1,)
    step(3, f"evaluation at {', '.join(map(str, evaluations))} decoder evaluations")
    cfg.train.init_checkpoint = str(Path(args.output_dir) / "model_final.pth")
    results = evaluate_at(cfg, evaluations)
    step(4, "pictures")
    pictures = Path(args.output_dir) / "pictures"
    visualize.main(
        ["--config-file", args.config_file, "--checkpoint", cfg.train.init_checkpoint, "--output-dir", str(pictures)]
        + ["--num-gpus", str(args.num_gpus), *args.opts]
    )

    minutes = (time.monotonic() - start) / 60
    print(f"\nTime: {minutes:.0f} min")
    for task, name in (("bbox", "Box"), ("segm", "Mask")):
        if all(task in metrics for metrics in results.values()):
            print(f"{name} AP on the {cfg.digit_scenes.num_val} validation scenes:")
            print("\n".join(row(num_steps, metrics[task]) for num_steps, metrics in results.items()))
    print(f"Pictures ({', '.join(sorted(picture.name for picture in pictures.glob('*.png')))}) are in {pictures}")
    return 0


def row(num_steps: int, metrics: dict[str, float]) -> str:
    evaluations = f"{num_steps} decoder evaluation{'s' * (num_steps > 1)}"
    return f"  {evaluations:22} " + "   ".join(f"{name} {metrics[name]:4.1f}" for name in ("AP", "AP50", "AP75"))


def step(number: int, title: str) -> None:
    print(f"\n== {number}/4 {title}", flush=True)


def run(script: str, *arguments: str, processes: int = 1) -> None:
    """Print a command of the repository as a user would type it, and run it; several processes run under torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    print("$ " + shlex.join(["python", *launcher, script, *arguments]), flush=True)
    command = [sys.executable, *launcher, str(REPOSITORY / script), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if processes > 1 else None
    if status := subprocess.run(command, env=environment).returncode:
        sys.exit(status)  # the command has said why


def evaluate_at(cfg: DictConfig, decoder_evaluations: tuple[int, ...]) -> dict[int, dict[str, dict[str, float]]]:
    """The trained weights' metrics by number of decoder evaluations, then by task (`bbox`, `segm`)."""
    options = TrainOptions.of(cfg)
    model = model_to_evaluate(cfg.model, options)
    sampler: Any = model.sampler
    results = {}
    for num_steps in decoder_evaluations:
        sampler.num_steps = num_steps
        results[num_steps] = evaluate(model, cfg.dataloader, dtype=options.eval_dtype)
    return results


if __name__ == "__main__":
    sys.exit(run_tool(main))
