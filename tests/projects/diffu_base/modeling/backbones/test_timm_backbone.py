"""Any timm model as a backbone: its maps, its weights, what is trained, and what is refused."""

import pytest
import timm
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.structures import Boxes, Instances
from torch import nn
from torch.testing import assert_close

from projects.diffu_base.config.backbones import use_backbone
from projects.diffu_base.modeling.backbones.swin import SwinTransformer
from projects.diffu_base.modeling.backbones.timm_backbone import TimmBackbone
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

pytestmark = pytest.mark.slow

# Models that round sides up, round sides down, put channels last, and go on after the last map that is read.
MODELS = {
    "resnet18": (2, 3, 4),
    "convnext_atto": (1, 2, 3),
    "mambaout_femto": (1, 3),
    "efficientnet_b0": (2, 3),
}


def weights_of(model_name, salt=3):
    """State dict of the whole timm model, classifier included."""
    return fill(timm.create_model(model_name), salt).state_dict()


@pytest.mark.parametrize(("model_name", "out_indices"), MODELS.items())
def test_maps_of_images_of_any_size_follow_the_stated_shapes(model_name, out_indices):
    backbone = TimmBackbone(model_name, out_indices=out_indices).eval()
    shapes = backbone.output_shape()
    assert list(shapes) == [f"p{i}" for i in out_indices]
    images = torch.randn(2, 3, 67, 131)
    with torch.no_grad():
        maps, alone = backbone(images), backbone(images[1:])
    assert {name: x.shape for name, x in maps.items()} == {
        name: (2, shape.channels, -(-67 // shape.stride), -(-131 // shape.stride)) for name, shape in shapes.items()
    }
    assert_close({name: x[1:] for name, x in maps.items()}, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_name", ["resnet18", "mambaout_femto"])
def test_maps_are_timm_s_where_nothing_is_padded(model_name):
    backbone, images = TimmBackbone(model_name, out_indices=(1, 3)).eval(), torch.randn(1, 3, 64, 96)
    features = timm.create_model(model_name, features_only=True, out_indices=(1, 3)).eval()
    features.load_state_dict(backbone.features.state_dict())
    expected = [x.permute(0, 3, 1, 2) if model_name == "mambaout_femto" else x for x in features(images)]
    assert_close(list(backbone(images).values()), expected)


@pytest.mark.parametrize(("model_name", "out_indices"), MODELS.items())
def test_what_is_trainable_gets_a_gradient(model_name, out_indices):
    """DistributedDataParallel waits for the gradient of every trainable parameter."""
    backbone = TimmBackbone(model_name, out_indices=out_indices, frozen_batch_norm=False).train()
    sum(x.square().sum() for x in backbone(torch.randn(2, 3, 64, 64)).values()).backward()
    trainable = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert trainable == [name for name, p in backbone.named_parameters() if p.grad is not None]
    # The efficientnet alone has blocks that no map depends on: those after its map of stride 16.
    frozen = len(list(backbone.parameters())) - len(trainable)
    assert (frozen > 0) == (model_name == "efficientnet_b0")


def test_batch_norms_are_frozen_unless_asked():
    images = torch.randn(2, 3, 64, 64)
    for frozen in (True, False):
        backbone = TimmBackbone("resnet18", frozen_batch_norm=frozen)
        assert any(m.training for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)) is not frozen
        before = {name: value.clone() for name, value in backbone.named_buffers()}
        backbone.train()(images)
        assert all(torch.equal(before[name], value) for name, value in backbone.named_buffers()) is frozen
        trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
        assert any(".bn" in name for name in trainable) is not frozen
        assert "features.conv1.weight" in trainable


def test_model_args_reach_the_model():
    backbone = TimmBackbone("convnext_atto", model_args={"drop_path_rate": 0.5})
    assert backbone.features.stages_3.blocks[-1].drop_path.drop_prob == 0.5


@pytest.mark.parametrize("model_name", ["resnet18", "convnext_atto", "test_vit"])
def test_pretrained_weights_are_loaded_whole(model_name, tmp_path):
    """timm takes a file in the place of a download."""
    weights = weights_of(model_name)
    torch.save(weights, tmp_path / "weights.pth")
    file = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth")}}
    backbone = TimmBackbone(model_name, out_indices=(1, 2, 3), pretrained=True, model_args=file)
    names = backbone.pretrained_names()
    loaded = backbone.state_dict()
    assert set(names.values()) - {None} == set(loaded)
    assert_close(loaded, {target: weights[name] for name, target in names.items() if target}, rtol=0, atol=0)


def test_pretrained_weights_with_other_names_are_refused(tmp_path):
    torch.save({f"other.{name}": value for name, value in weights_of("resnet18").items()}, tmp_path / "weights.pth")
    file = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth")}}
    with pytest.raises(ValueError, match="(?s)timm cannot build .resnet18..*Missing key"):
        TimmBackbone("resnet18", pretrained=True, model_args=file)


def test_names_that_timm_does_not_know_are_refused_with_close_ones():
    with pytest.raises(ValueError, match=r"no model 'convnext_tinny'; close to it are \[.*'convnext_tiny'"):
        TimmBackbone("convnext_tinny")
    with pytest.raises(ValueError, match=r"no weights 'resnet18.fb_1k'; of resnet18 it has \[.*'resnet18.a1_in1k'"):
        TimmBackbone("resnet18.fb_1k")


@pytest.mark.parametrize(
    ("out_indices", "message"),
    [
        ((1, 5), r"out_indices is \(1, 5\); resnet18 has maps 0 to 4"),
        ((-1,), r"out_indices is \(-1,\); allowed are"),
        ((), r"out_indices is \(\); allowed are"),
    ],
)
def test_maps_that_the_model_does_not_have_are_refused(out_indices, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone("resnet18", out_indices=out_indices)


def test_arguments_that_the_model_does_not_take_are_refused():
    with pytest.raises(ValueError, match="timm cannot build 'resnet18' with .*window.*unexpected keyword"):
        TimmBackbone("resnet18", model_args={"window": 7})


@pytest.mark.parametrize(
    "backbone",
    [
        L(TimmBackbone)(model_name="convnext_atto", pretrained=True),
        L(SwinTransformer)(embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=7),
    ],
)
def test_one_line_gives_a_model_another_backbone(backbone):
    model = tiny_config("diffu_dino_r50")
    use_backbone(model, backbone)
    assert model.backbone == backbone
    if "pretrained" in model.backbone:
        model.backbone.pretrained = False  # the test has no network
    detector = instantiate(model)
    instances = Instances((70, 101), gt_boxes=Boxes([[8.0, 8, 40, 48]]), gt_classes=torch.tensor([1]))
    inputs = [{"image": torch.randint(256, (3, 70, 101)), "instances": instances}]
    sum(detector(inputs).values()).backward()
    assert all(p.grad is not None for p in detector.backbone.parameters() if p.requires_grad)
    assert len(detector.eval()(inputs)[0]["instances"])
