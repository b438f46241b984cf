"""Any timm model that gives features, as a detection backbone."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from timm.layers import Format, to_2tuple
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Under which names some of timm's feature extractors keep the model.
_EXTRACTOR_PREFIXES = ("model.", "body.")


class TimmBackbone(Backbone):
    """A timm model whose map number i, of those that `features_only` offers, is called `p{i}`.

    Weights come from `pretrained`, or from `train.init_checkpoint`: a file with the model's names in timm. Set
    `model.pixel_mean` and `model.pixel_std` to 255 times the mean and deviation that timm states for the weights; most
    have the defaults. For detection checkpoints with a Swin, and for images of any size, use `SwinTransformer`
    instead: timm's Swin calculates something else on maps that its windows do not divide.

    Args:
        model_name: as in `timm.list_models()`, with or without a tag of its weights, such as "convnext_tiny.fb_in1k".
        out_indices: numbers of the maps, finest first.
        pretrained: start from timm's own weights, which it downloads once.
        frozen_batch_norm: batch norms keep their statistics and weights, as usual with few images per GPU.
        model_args: what else the model takes, such as {"drop_path_rate": 0.1}.

    Raises:
        ValueError: timm has no such model, no such maps or no such weights, or does not know one of `model_args`.
    """

    def __init__(
        self,
        model_name: str,
        *,
        out_indices: Sequence[int] = (1, 2, 3),
        pretrained: bool = False,
        frozen_batch_norm: bool = True,
        model_args: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        _check_name(model_name)
        if not out_indices or min(out_indices) < 0:
            raise ValueError(f"out_indices is {tuple(out_indices)}; allowed are one or more numbers from 0")
        self.model_name = model_name
        self.model_args = dict(model_args or {})
        self.out_indices = sorted(out_indices)
        self.features = self._create_features()
        info = self.features.feature_info
        self.shapes = {
            f"p{i}": ShapeSpec(channels=channels, stride=stride)
            for i, channels, stride in zip(self.out_indices, info.channels(), info.reduction(), strict=True)
        }
        self.coarsest_stride = max(each["reduction"] for each in info.info)
        self.channels_last = getattr(self.features, "output_fmt", None) == Format.NHWC
        if pretrained:
            self._load_pretrained()
        self._freeze_unused()
        self.frozen_norms = [m for m in self.features.modules() if frozen_batch_norm and isinstance(m, _BatchNorm)]
        for norm in self.frozen_norms:
            norm.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) to {"p{i}": (B, C_i, ceil(H / stride_i), ceil(W / stride_i))}.

        Zeros pad the images to multiples of the model's coarsest stride, since many models drop what is left over.
        """
        height, width = images.shape[-2:]
        maps = self.features(F.pad(images, (0, -width % self.coarsest_stride, 0, -height % self.coarsest_stride)))
        if self.channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        return {
            name: x[..., : -(-height // shape.stride), : -(-width // shape.stride)].contiguous()
            for x, (name, shape) in zip(maps, self.shapes.items(), strict=True)
        }

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Switch to training or evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        for norm in self.frozen_norms:
            norm.eval()
        return self

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map."""
        return self.shapes

    def pretrained_names(self) -> dict[str, str | None]:
        """Names in files of the whole timm model -> names here; None for what lies behind the last map.

        timm's extractors write the dots of the first levels as underscores, or put the model under a name of theirs.
        """
        with torch.device("meta"):
            whole = _create(self.model_name, self.model_args)
        own = {}
        for name in self.features.state_dict():
            own[next((name.removeprefix(p) for p in _EXTRACTOR_PREFIXES if name.startswith(p)), name)] = name
        own = {name.replace(".", "_"): f"features.{target}" for name, target in own.items()}
        return {name: own.get(name.replace(".", "_")) for name in whole.state_dict()}

    def _create_features(self) -> nn.Module:
        args = {**self.model_args, "features_only": True}
        try:
            return _create(self.model_name, {**args, "out_indices": tuple(self.out_indices)})
        except (AssertionError, IndexError) as error:
            with torch.device("meta"):
                last = len(_create(self.model_name, args).feature_info.info) - 1
            raise ValueError(
                f"out_indices is {tuple(self.out_indices)}; {self.model_name} has maps 0 to {last}"
            ) from error

    def _load_pretrained(self) -> None:
        # timm checks the names of a whole model, but not those of an extractor.
        weights = _create(self.model_name, {**self.model_args, "pretrained": True}).state_dict()
        names = self.pretrained_names()
        self.load_state_dict({target: weights[name] for name, target in names.items() if target is not None})

    def _freeze_unused(self) -> None:
        """Freeze what no map depends on, for DistributedDataParallel waits for the gradient of the rest."""
        with torch.device("meta"), torch.enable_grad():
            twin = self._create_features().eval().requires_grad_()
            size = self.model_args.get("img_size", timm.get_pretrained_cfg(self.model_name).input_size[1:])
            maps = twin(torch.zeros(1, 3, *to_2tuple(size)))
            gradients = torch.autograd.grad(sum(x.sum() for x in maps), list(twin.parameters()), allow_unused=True)
        for (name, _), gradient in zip(twin.named_parameters(), gradients, strict=True):
            if gradient is None:
                self.features.get_parameter(name).requires_grad_(False)


def _check_name(model_name: str) -> None:
    architecture, _, tag = model_name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=5, cutoff=0.5)
        raise ValueError(f"timm has no model {architecture!r}; close to it are {close}, all are in timm.list_models()")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and model_name not in tagged:
        raise ValueError(f"timm has no weights {model_name!r}; of {architecture} it has {tagged}")


def _create(model_name: str, args: Mapping[str, Any]) -> nn.Module:
    try:
        return timm.create_model(model_name, **args)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(f"timm cannot build {model_name!r} with {dict(args)}: {error}") from error
