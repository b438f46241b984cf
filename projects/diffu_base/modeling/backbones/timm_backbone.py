"""A detection backbone that wraps any timm model that gives features."""

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

from .efficientnet_names import efficientnet_pytorch_names

# Some of timm's feature extractors hold the model under one of these names.
_EXTRACTOR_PREFIXES = ("model.", "body.")


class TimmBackbone(Backbone):
    """A timm model as a backbone. timm's `features_only` numbers the model's maps; number i is called `p{i}` here.

    Weights come from timm, see `pretrained`, or from a file with timm's names in `train.init_checkpoint`. Set
    `model.pixel_mean` and `model.pixel_std` to 255 times the mean and deviation that timm states for the weights; for
    most weights these are the defaults.

    For a Swin use `SwinTransformer` instead. If a map's sides are no multiples of the window's, timm's Swin does not
    compute what the backbones of published detectors compute.

    Args:
        model_name: as in `timm.list_models()`, with or without a tag for its weights, such as "convnext_tiny.fb_in1k".
        out_indices: numbers of the maps, finest first.
        pretrained: True starts from timm's weights, which timm downloads once.
        frozen_batch_norm: True freezes the statistics and weights of batch norms, as is usual with few images per GPU.
        model_args: further arguments of the timm model, such as {"drop_path_rate": 0.1}.

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
    ) -> None:
        super().__init__()
        _check_name(model_name)
        if not out_indices or min(out_indices) < 0:
            raise ValueError(f"out_indices is {tuple(out_indices)}; allowed are one or more numbers from 0")
        self.model_name = model_name
        self.model_args = dict(model_args or {})
        self.out_indices = sorted(out_indices)
        self.features = self._create_features()
        info: Any = self.features.feature_info
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

        Images are padded with zeros to multiples of the model's coarsest stride, because many models would cut off the
        rest.
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
        """Switch to training or evaluation mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for norm in self.frozen_norms:
            norm.eval()
        return self

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map."""
        return self.shapes

    def pretrained_names(self) -> dict[str, str | None]:
        """Names in a file of the whole timm model -> names here, or None for what comes after the last map.

        timm's feature extractors hold the model under a further name, or write the first dots of a name as underscores.
        """
        with torch.device("meta"):
            whole = _create(self.model_name, self.model_args)
        own = {}
        for name in self.features.state_dict():
            own[next((name.removeprefix(p) for p in _EXTRACTOR_PREFIXES if name.startswith(p)), name)] = name
        own = {name.replace(".", "_"): f"features.{target}" for name, target in own.items()}
        names = {name: own.get(name.replace(".", "_")) for name in whole.state_dict()}
        if "efficientnet_lite" in self.model_name:
            names |= {name: names[of_timm] for name, of_timm in efficientnet_pytorch_names(names).items()}
        return names

    def _create_features(self) -> nn.Module:
        args = {**self.model_args, "features_only": True}
        try:
            return _create(self.model_name, {**args, "out_indices": tuple(self.out_indices)})
        except (AssertionError, IndexError) as error:
            with torch.device("meta"):
                info: Any = _create(self.model_name, args).feature_info
            raise ValueError(
                f"out_indices is {tuple(self.out_indices)}; {self.model_name} has maps 0 to {len(info.info) - 1}"
            ) from error

    def _load_pretrained(self) -> None:
        # The weights are loaded into the whole model and copied from it, because timm checks the names of a whole
        # model, but not those of an extractor.
        weights = self._fetch_pretrained().state_dict()
        names = self.pretrained_names()
        self.load_state_dict({target: value for name, value in weights.items() if (target := names[name]) is not None})

    def _fetch_pretrained(self) -> nn.Module:
        """The whole model with timm's weights.

        Raises:
            ValueError: timm cannot fetch the weights, or see `_create`.
        """
        try:
            return _create(self.model_name, {**self.model_args, "pretrained": True})
        except ValueError:
            raise
        except Exception as error:  # timm downloads by several libraries, each with errors of its own
            config = timm.get_pretrained_cfg(self.model_name)
            source = (config.hf_hub_id and f"huggingface.co/{config.hf_hub_id}") or config.url if config else "timm"
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"model.backbone: the weights of {self.model_name} could not be fetched from {source} ({reason}); set "
                "pretrained=False, and train.init_checkpoint=FILE where there is a file of them"
            ) from error

    def _freeze_unused(self) -> None:
        """Freeze the parameters that no map depends on. DistributedDataParallel would wait for their gradients."""
        with torch.device("meta"), torch.enable_grad():
            twin = self._create_features().eval().requires_grad_()
            config = timm.get_pretrained_cfg(self.model_name)
            assert config is not None  # timm describes every model that it builds
            size = self.model_args.get("img_size", config.input_size[1:])
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
