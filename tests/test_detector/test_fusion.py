"""The deploy form computes what the trained model does, with less."""
import copy

import pytest
import torch
from builders import (
    EFFICIENT,
    build_detector,
    detector_cfg,
    randomize,
    relative_error,
    run_detector,
    worst_error,
)
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.deploy import count_flops, explain, fuse, plan_fusion
from yolo_world_rep.models.layers import RepConvMaxSigmoidAttnBlock
from yolo_world_rep.reparam import folding

EXACT = 1e-10
# With heads this wide some layers have an embedding and some have none.
EMBEDS = dict(none=(128, 256, 512), some=(128, 384, 512))
SIZE_S = dict(
    widen_factor=0.5,
    deepen_factor=0.33,
    embed_dims=512,
    embed_channels=(128, 256, 512),
    num_heads=(4, 8, 16))


def folded(form='rep_conv', embed='none', with_scale=False, padded=0,
           num_classes=7, **kwargs):
    """A folded detector in float64 with random everything.

    ``padded`` is how many more guides the neck has than there are classes.
    """
    cfg = detector_cfg(
        form,
        num_classes=num_classes,
        embed_channels=EMBEDS[embed],
        block=dict(with_scale=with_scale),
        **kwargs)
    cfg['neck']['guide_channels'] = num_classes + padded
    init_default_scope('mmyolo')
    return randomize(MODELS.build(ConfigDict(cfg)).double()).eval()


def image(dtype=torch.float64):
    """Two images that are not square."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(
        2, 3, 64, 96, dtype=torch.float64, generator=generator).to(dtype)


@pytest.mark.parametrize('padded', [0, 2])
@pytest.mark.parametrize('num_classes', [1, 7, 600])
@pytest.mark.parametrize('embed', EMBEDS)
@pytest.mark.parametrize('with_scale', [False, True])
@pytest.mark.parametrize('use_bn_head', [True, False])
@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_exact(form, use_bn_head, with_scale, embed, num_classes, padded):
    model = folded(
        form,
        embed,
        with_scale,
        padded,
        use_bn_head=use_bn_head,
        num_classes=num_classes)
    outputs = run_detector(model, image())
    fused = fuse(model)
    assert worst_error(run_detector(fused, image()), outputs) <= EXACT
    assert not any(isinstance(m, _BatchNorm) for m in fused.modules())
    assert not fused.training
    assert not any(p.requires_grad for p in fused.parameters())


def test_dual_neck():
    """Its bottom-up half has no guides to fold, and batch norms."""
    model = folded(
        use_bn_head=False, dual=dict(embed_channels=32, num_heads=4))
    outputs = run_detector(model, image())
    fused = fuse(model)
    assert worst_error(run_detector(fused, image()), outputs) <= EXACT
    assert not any(isinstance(m, _BatchNorm) for m in fused.modules())


@pytest.mark.parametrize('with_act', [False, True])
def test_efficient_neck(with_act):
    """Nothing of the branch without a gate is left but a convolution."""
    model = build_detector(
        'rep_conv', block=dict(type=EFFICIENT, with_act=with_act))
    model = randomize(model.double()).eval()
    outputs = run_detector(model, image())
    fused = fuse(model)
    assert worst_error(run_detector(fused, image()), outputs) <= EXACT
    assert not any(isinstance(m, _BatchNorm) for m in fused.modules())


def test_all_choices_are_covered():
    """The cases above take either decision of each kind."""

    def chosen(kind, **kwargs):
        return {
            decision.merge
            for decision in plan_fusion(folded(embed='some', **kwargs))
            if kind in decision.layer and decision.merged is not None
        }

    assert chosen('attn', num_classes=1) == {True}
    assert chosen('attn', num_classes=600) == {False}
    assert chosen('cls', num_classes=7) == {True}
    assert chosen('cls', num_classes=600) == {False}


@pytest.mark.parametrize('num_classes', [7, 600])
def test_l2_head_of_full_width(num_classes):
    """With D far above C the L2 head is merged too, length included."""
    model = folded(
        use_bn_head=False, embed_dims=256, num_classes=num_classes)
    merged = [d.merge for d in plan_fusion(model) if 'cls' in d.layer]
    assert merged == [True] * 3
    outputs = run_detector(model, image())
    assert worst_error(run_detector(fuse(model), image()), outputs) <= EXACT


@pytest.mark.parametrize('embed_dims', [64, 256])
@pytest.mark.parametrize('use_bn_head', [True, False])
@pytest.mark.parametrize('num_classes', [7, 600])
def test_float32(use_bn_head, num_classes, embed_dims):
    model = folded(
        embed='some',
        with_scale=True,
        embed_dims=embed_dims,
        use_bn_head=use_bn_head,
        num_classes=num_classes).float()
    x = image(torch.float32)
    fused = fuse(model)
    assert {p.dtype for p in fused.parameters()} == {torch.float32}
    assert worst_error(run_detector(fused, x), run_detector(model, x)) <= 1e-4


@pytest.mark.parametrize('num_classes', [7, 600])
def test_depthwise_projection(num_classes):
    """γ goes into the convolution that is last."""
    model = folded(with_scale=True, num_classes=num_classes)
    for layer in model.neck.top_down_layers:
        old = layer.attn_block
        channels = old.project_conv.in_channels
        layer.attn_block = RepConvMaxSigmoidAttnBlock(
            channels,
            channels,
            guide_channels=num_classes,
            embed_channels=channels,
            num_heads=old.num_heads,
            with_scale=True,
            use_depthwise=True)
    randomize(model.double()).eval()
    outputs = run_detector(model, image())
    assert worst_error(run_detector(fuse(model), image()), outputs) <= EXACT


def forget_eps(model):
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eps = 0.0


def test_wrong_twin_without_eps_fails():
    model = folded()
    outputs = run_detector(model, image())
    forget_eps(model)
    assert worst_error(run_detector(fuse(model), image()), outputs) > 1e-6


def wrong_fold_width(guide):
    """Forgets √d."""
    return guide


def wrong_fold_embed(guide, beta, weight, bias,
                     right=folding.fold_embed):
    """Forgets the bias of the embedding's batch norm."""
    return right(guide, beta, weight, torch.zeros_like(bias))


def wrong_compose_linear(weight, bias, second, last):
    """Forgets what the second map makes of the first one's bias."""
    return second @ weight, last


def wrong_length_factor(weight, bias, right=folding.length_factor):
    """Forgets the bias in the length."""
    return right(weight, torch.zeros_like(bias))


@pytest.mark.parametrize(('name', 'twin', 'output'),
                         [('fold_width', wrong_fold_width, 'neck0'),
                          ('fold_embed', wrong_fold_embed, 'neck0'),
                          ('compose_linear', wrong_compose_linear, 'cls0'),
                          ('length_factor', wrong_length_factor, 'cls0')])
def test_wrong_twins_fail(monkeypatch, name, twin, output):
    """Folds with a known mistake are far outside of the tolerance."""
    model = folded(
        embed='some',
        num_classes=1,
        embed_dims=256,
        use_bn_head=name != 'length_factor')
    expected = run_detector(model, image())[output]
    monkeypatch.setattr(folding, name, twin)
    found = run_detector(fuse(model), image())[output]
    assert relative_error(found, expected) > 1e-3


def test_a_copy_by_default():
    model = folded()
    before = copy.deepcopy(model.state_dict())
    model.train()
    fused = fuse(model)
    assert fused is not model
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_in_place():
    model = folded()
    outputs = run_detector(model, image())
    assert fuse(model, inplace=True) is model
    assert not any(isinstance(m, _BatchNorm) for m in model.modules())
    assert worst_error(run_detector(model, image()), outputs) <= EXACT


@pytest.mark.parametrize('use_bn_head', [True, False])
def test_predicts_through_mmdet(use_bn_head):
    model = folded(
        use_bn_head=use_bn_head,
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor',
            mean=[0., 0., 0.],
            std=[255., 255., 255.],
            bgr_to_rgb=True)).float()
    model.dataset_meta = dict(classes=tuple('abcdefg'))
    fused = fuse(model)

    def predict(detector):
        sample = DetDataSample(metainfo=dict(
            ori_shape=(64, 96), img_shape=(64, 96), scale_factor=(1., 1.)))
        picture = (image(torch.float32)[0] * 255).to(torch.uint8)
        return detector.test_step(
            dict(inputs=[picture], data_samples=[sample]))[0].pred_instances

    found, expected = predict(fused), predict(model)
    assert len(found) == len(expected) > 0
    assert found.label_names == expected.label_names
    assert torch.allclose(found.scores, expected.scores, atol=1e-4)
    assert torch.allclose(found.bboxes, expected.bboxes, atol=1e-2)


def test_tells_why():
    model = folded(num_classes=7)
    text = explain(plan_fusion(model))
    assert len(text.splitlines()) == 4 + 3
    # 80 channels to D = 64 and 7 texts, 2 FLOPs a multiply-add.
    assert (f'80→64 and 64→7 texts: merged, {2 * (80 * 64 + 64 * 7)} FLOPs '
            f'a position apart and {2 * 80 * 7} merged') in text


def test_refuses_twice():
    with pytest.raises(ValueError, match='fused already'):
        fuse(fuse(folded()))


def test_refuses_texts():
    with pytest.raises(ValueError, match='rep reparameterize'):
        fuse(build_detector('text'))
    with pytest.raises(ValueError, match='Convert the checkpoint as a whole'):
        fuse(build_detector('text_neck'))


def test_refuses_other_models():
    with pytest.raises(ValueError, match='got a Sequential'):
        fuse(nn.Sequential(folded()))


def test_refuses_other_norms_and_changes_nothing():
    model = folded()
    conv = model.backbone.image_model.stem
    conv.bn = nn.GroupNorm(1, conv.out_channels)
    with pytest.raises(ValueError, match='GroupNorm'):
        fuse(model, inplace=True)
    assert any(isinstance(m, _BatchNorm) for m in model.modules())


def gflops(form, num_classes, deploy=False):
    """GFLOPs of an S at 640×640."""
    with torch.device('meta'):
        model = build_detector(form, num_classes=num_classes, **SIZE_S)
    return count_flops(fuse(model) if deploy else model) / 1e9


def test_flops():
    assert gflops('text', 80) == pytest.approx(32.7, rel=0.01)
    assert gflops('rep_conv', 80) == pytest.approx(32.7, rel=0.01)
    assert gflops('rep_conv', 80, True) == pytest.approx(31.05, rel=0.01)
    assert gflops('rep_linear', 1203, True) <= 55


def test_flops_of_yolov8():
    """The measure of it all, counted in the same way."""
    init_default_scope('mmyolo')
    scale = dict(widen_factor=0.5, deepen_factor=0.33)
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='YOLODetector',
                backbone=dict(type='YOLOv8CSPDarknet', **scale),
                neck=dict(
                    type='YOLOv8PAFPN',
                    in_channels=[256, 512, 1024],
                    out_channels=[256, 512, 1024],
                    num_csp_blocks=3,
                    **scale),
                bbox_head=dict(
                    type='YOLOv8Head',
                    head_module=dict(
                        type='YOLOv8HeadModule',
                        num_classes=80,
                        in_channels=[256, 512, 1024],
                        widen_factor=0.5))))
    assert count_flops(model) / 1e9 == pytest.approx(28.6, rel=0.01)
