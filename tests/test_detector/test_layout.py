"""The deploy form without what makes a runtime shuffle its features."""
import pytest
import torch
from builders import build_detector, randomize, relative_error
from mmcv.cnn import fuse_conv_bn
from mmengine.registry import init_default_scope
from mmyolo.models.layers import CSPLayerWithTwoConv

from yolo_world_rep.deploy import fuse
from yolo_world_rep.models.fused_layers import DeployCSPLayer


@pytest.mark.parametrize('num_blocks', [0, 2])
@pytest.mark.parametrize('expand_ratio', [0.5, 0.25])
def test_two_convolutions_are_one_and_a_split(num_blocks, expand_ratio):
    init_default_scope('mmyolo')
    layer = CSPLayerWithTwoConv(
        6, 16, expand_ratio=expand_ratio, num_blocks=num_blocks)
    layer = fuse_conv_bn(randomize(layer).double().eval())
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        expected = layer(x)
        apart = DeployCSPLayer(layer)
        assert relative_error(apart(x), expected) < 1e-12
        # The wrong twin: the halves the other way round.
        apart.skip_conv, apart.main_conv = apart.main_conv, apart.skip_conv
        assert relative_error(apart(x), expected) > 1e-3
    assert layer.main_conv.conv.weight.shape[0] == 2 * layer.mid_channels


def kinds_of(detector) -> list:
    """Kinds of the operators of its graph."""
    with torch.no_grad():
        graph = torch.jit.trace(
            lambda x: tuple(map(tuple, detector(x, mode='tensor'))),
            torch.rand(1, 3, 64, 96)).inlined_graph
    return [node.kind() for node in graph.nodes()]


def test_a_fused_detector_splits_nothing():
    detector = build_detector('rep_conv').requires_grad_(False)
    assert {'aten::split_with_sizes', 'aten::chunk'} & set(kinds_of(detector))
    found = set(kinds_of(fuse(detector)))
    assert not found & {'aten::split', 'aten::split_with_sizes',
                        'aten::chunk', 'aten::split_copy'}


def test_every_layer_is_taken_once():
    detector = build_detector('rep_conv').requires_grad_(False)
    layers = sum(
        isinstance(x, CSPLayerWithTwoConv) for x in detector.modules())
    fused = fuse(detector)
    kinds = [type(x) for x in fused.modules()]
    assert kinds.count(DeployCSPLayer) == layers == 8
    assert not any(
        isinstance(x, CSPLayerWithTwoConv) for x in fused.modules())
