"""What every process of a test in test_evaluators.py does: `torchrun evaluation_run.py OUT JSON_FILE`."""

import json
import sys
from pathlib import Path

SCRIPT = Path(__file__)
sys.path.insert(0, str(SCRIPT.resolve().parents[3]))

import torch.distributed as dist  # noqa: E402
from detectron2.data import MetadataCatalog  # noqa: E402
from detectron2.utils import comm  # noqa: E402

from datasets_utils import CocoStyleEvaluator  # noqa: E402
from tests.datasets_utils.evaluation import evaluation_case as case  # noqa: E402


def main(out: Path, json_file: str) -> None:
    """Evaluates this rank's share of the detections, and writes the results that this rank gets."""
    dist.init_process_group("gloo")
    classes = {id: i for i, id in enumerate(case.CATEGORY_IDS)}
    metadata = {"thing_classes": list(case.NAMES), "thing_dataset_id_to_contiguous_id": classes}
    MetadataCatalog.get("of_two_ranks").set(json_file=json_file, **metadata)
    evaluator = CocoStyleEvaluator("of_two_ranks")
    for inputs, outputs in case.predictions()[comm.get_rank() :: comm.get_world_size()]:
        evaluator.process([inputs], [outputs])
    (out / f"rank_{comm.get_rank()}.json").write_text(json.dumps(evaluator.evaluate()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
