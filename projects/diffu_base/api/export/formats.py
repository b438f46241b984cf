"""The formats of an exported detector: how a traced graph is written, and how its file is run."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from numpy import ndarray
from torch.export import ExportedProgram

from .suppression import Suppression, class_wise_nms, suppress

# From images (B, 3, H, W) and noise (B, D, Q, 4), None for a baseline, to the fields of `graph.Found`.
Run = Callable[[ndarray, ndarray | None], dict[str, ndarray]]
INFO = "detector.json"  # the name of what is known of the detector, in the file of either format


class Format(Protocol):
    """How a traced graph becomes a file.

    Attributes:
        suffix: of the file.
        suppress: what stands for NMS in the traced graph.
    """

    suffix: str
    suppress: Suppression

    def write(self, program: ExportedProgram, path: Path, info: Mapping[str, Any]) -> None:
        """Write the graph, and what is known of the detector, to `path`."""
        ...

    def load(self, path: Path) -> Run:
        """The function that runs the file."""
        ...


class OnnxFormat:
    """ONNX of opset 18, for onnxruntime and others.

    Raises:
        ValueError: onnx, onnxscript or onnxruntime is not installed.
    """

    OPSET: ClassVar[int] = 18
    # protobuf, in which ONNX is written, allows messages of 2 GB. Weights beyond lie in a file beside it.
    LARGEST: ClassVar[int] = 2**31 - 2**24
    suffix = ".onnx"

    def __init__(self) -> None:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                raise ValueError(f"the format onnx needs {package}: pip install 'diffu-detr[export]'")
        self.suppress: Suppression = class_wise_nms

    def write(self, program: ExportedProgram, path: Path, info: Mapping[str, Any]) -> None:
        """See `Format.write`. The file's metadata hold `info` as JSON."""
        from .onnx_translations import TRANSLATIONS

        onnx_program = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=self.OPSET,
            input_names=list(program.graph_signature.user_inputs),
            output_names=program.call_spec.out_spec.context,
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
        assert onnx_program is not None  # it is None in the exporter before dynamo
        onnx_program.model.metadata_props[INFO] = json.dumps(dict(info))
        weights = sum(value.nbytes for value in program.state_dict.values())
        onnx_program.save(str(path), external_data=weights > self.LARGEST)

    def load(self, path: Path) -> Run:
        """See `Format.load`; onnxruntime runs the file on as many threads as PyTorch has."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]

        def run(images: ndarray, noise: ndarray | None) -> dict[str, ndarray]:
            inputs = {"images": images} if noise is None else {"images": images, "noise": noise}
            return dict(zip(names, session.run(names, inputs), strict=True))

        return run


class TorchExportFormat:
    """A program of `torch.export`, for PyTorch without this project; it needs torchvision, whose NMS it calls."""

    suffix = ".pt2"

    def __init__(self) -> None:
        self.suppress: Suppression = suppress

    def write(self, program: ExportedProgram, path: Path, info: Mapping[str, Any]) -> None:
        """See `Format.write`. The file holds `info` as an extra file."""
        torch.export.save(program, path, extra_files={INFO: json.dumps(dict(info))})

    def load(self, path: Path) -> Run:
        """See `Format.load`."""
        program = torch.export.load(path).module()

        @torch.no_grad()
        def run(images: ndarray, noise: ndarray | None) -> dict[str, ndarray]:
            inputs = {"images": images} if noise is None else {"images": images, "noise": noise}
            found = program(**{name: torch.from_numpy(value) for name, value in inputs.items()})
            return {name: value.numpy() for name, value in found.items()}

        return run


FORMATS: dict[str, Callable[[], Format]] = {"onnx": OnnxFormat, "torch-export": TorchExportFormat}
