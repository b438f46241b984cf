"""The layers whose predictions a criterion compares with targets, and the names of their losses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .matcher import LayerPredictions

Kind = Literal["decoder", "encoder", "denoising", "many"]

# What detrex appends to a loss's name for predictions of each kind; it has none for "many".
_SUFFIXES: Mapping[Kind, str] = {"decoder": "", "encoder": "_enc", "denoising": "_dn", "many": "_many"}
_OF_OWN_WEIGHT = ("denoising", "many")


@dataclass(frozen=True)
class SupervisedLayer:
    """A set of predictions that a loss is computed from.

    Attributes:
        kind: "decoder": the queries of a decoder layer, or the boxes of a head; "encoder": the encoder's proposals;
            "denoising": the denoising queries of a decoder layer; "many": its auxiliary queries, of which several
            answer each target.
        index: the number of the decoder layer, from 0; None: the last one, or the encoder.
    """

    kind: Kind
    index: int | None = None

    def name(self, loss: str) -> str:
        """detrex's name for this layer's `loss`.

        `loss_bbox` is called `loss_bbox` in the last decoder layer, `loss_bbox_0` in the first, `loss_bbox_enc` for the
        proposals, and for the denoising queries `loss_bbox_dn` in the last decoder layer and `loss_bbox_dn_0` in the
        first. Those of auxiliary queries are called `loss_bbox_many` and `loss_bbox_many_0`.
        """
        number = "" if self.index is None else f"_{self.index}"
        return f"{loss}{_SUFFIXES[self.kind]}{number}"

    def weight_key(self, loss: str) -> str:
        """The config's key of a loss's weight.

        It is `loss_bbox_dn` for denoising queries, `loss_bbox_many` for auxiliary ones, and `loss_bbox` for all others.
        """
        return f"{loss}{_SUFFIXES[self.kind]}" if self.kind in _OF_OWN_WEIGHT else loss


LAST = SupervisedLayer("decoder")
ENCODER = SupervisedLayer("encoder")


def decoder_layers(num_layers: int, kind: Kind = "decoder") -> Iterator[SupervisedLayer]:
    """All layers of a decoder: the last one first, then the others in their order."""
    yield SupervisedLayer(kind)
    yield from (SupervisedLayer(kind, i) for i in range(num_layers - 1))


def predictions_by_layer(outputs: dict[str, Any], kind: Kind = "decoder") -> dict[SupervisedLayer, LayerPredictions]:
    """The predictions of every decoder layer in `outputs`, in the order of `decoder_layers`.

    Args:
        outputs: detrex's form: the predictions of the last layer, and in `aux_outputs` the list of the other layers'.
    """
    layers = [outputs, *outputs.get("aux_outputs", [])]
    return dict(zip(decoder_layers(len(layers), kind), layers, strict=True))
