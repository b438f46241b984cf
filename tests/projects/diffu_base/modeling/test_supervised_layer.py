"""Names of losses by layer."""

import torch

from projects.diffu_base.modeling.supervised_layer import (
    ENCODER,
    LAST,
    SupervisedLayer,
    decoder_layers,
    predictions_by_layer,
)


def test_losses_have_detrex_names():
    layers = [
        LAST,
        SupervisedLayer("decoder", 4),
        ENCODER,
        SupervisedLayer("denoising"),
        SupervisedLayer("denoising", 0),
    ]
    assert [layer.name("loss_bbox") for layer in layers] == [
        "loss_bbox", "loss_bbox_4", "loss_bbox_enc", "loss_bbox_dn", "loss_bbox_dn_0",
    ]  # fmt: skip


def test_denoising_queries_have_weights_of_their_own_and_all_other_layers_share_one():
    layers = [*decoder_layers(3), ENCODER]
    assert {layer.weight_key("loss_giou") for layer in layers} == {"loss_giou"}
    assert {layer.weight_key("loss_giou") for layer in decoder_layers(3, "denoising")} == {"loss_giou_dn"}


def test_the_last_layer_comes_first():
    assert list(decoder_layers(3)) == [LAST, SupervisedLayer("decoder", 0), SupervisedLayer("decoder", 1)]
    assert list(decoder_layers(1)) == [LAST]


def test_each_layer_of_the_outputs_gets_its_predictions():
    last, first, second = ({"pred_logits": torch.full((1, 1, 1), value)} for value in (2.0, 0.0, 1.0))
    by_layer = predictions_by_layer({**last, "aux_outputs": [first, second]})
    assert [layer.index for layer in by_layer] == [None, 0, 1]
    assert [float(predictions["pred_logits"]) for predictions in by_layer.values()] == [2, 0, 1]
    assert list(predictions_by_layer(last)) == [LAST]  # a decoder of one layer
