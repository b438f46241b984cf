"""Trains and evaluates the models of this repository from LazyConfig files.

    python tools/train_net.py --config-file CONFIG [--num-gpus N] [--resume] [key=value ...]
    python tools/train_net.py --config-file CONFIG --eval-only train.init_checkpoint=FILE
    torchrun --nproc_per_node=N tools/train_net.py --config-file CONFIG [...]

``--num-gpus 0`` uses the CPU, under torchrun too. `diffudetr train` and `diffudetr eval` do so outside a checkout.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.diffu_base.commands.errors import exit_status
from projects.diffu_base.commands.train import argument_parser, main, start

__all__ = ["argument_parser", "main"]

if __name__ == "__main__":
    args = argument_parser(epilog=__doc__).parse_args()
    sys.exit(exit_status(partial(start, args), traceback=args.traceback))
