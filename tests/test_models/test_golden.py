"""The original's outputs, text-conditioned and reparameterized."""
import json

import pytest
import torch
from builders import (
    Golden,
    build_detector,
    golden_detector,
    relative_error,
    run_detector,
    worst_error,
)

from yolo_world_rep.reparam import folding, reparameterize_state_dict

EXACT = 1e-10
SIZES = dict(
    s=dict(widen_factor=0.5, deepen_factor=0.33, last=1024),
    m=dict(widen_factor=0.75, deepen_factor=0.67, last=768),
    l=dict(widen_factor=1.0, deepen_factor=1.0, last=512),
    x=dict(widen_factor=1.25, deepen_factor=1.0, last=512))


def double(state_dict):
    return {key: value.double() for key, value in state_dict.items()}


def load(model, state_dict, missing=()):
    """Load, and insist that nothing but a text encoder is left over."""
    result = model.load_state_dict(state_dict, strict=False)
    assert result.missing_keys == list(missing)
    assert all(
        key.startswith('backbone.text_model.')
        for key in result.unexpected_keys)
    return model


def text_model(golden):
    return load(
        golden_detector(golden), double(golden.state_dict), ['embeddings'])


def folded_model(golden, form):
    converted = reparameterize_state_dict(
        double(golden.state_dict), golden.text.double(), form)
    return load(golden_detector(golden, form), converted)


def test_text_conditioned(golden):
    outputs = run_detector(
        text_model(golden), golden.io['image'].double(), golden.text.double())
    assert worst_error(outputs, golden.outputs) <= EXACT


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_reparameterized(golden, form):
    model = folded_model(golden, form)
    outputs = run_detector(model, golden.io['image'].double())
    assert worst_error(outputs, golden.outputs) <= EXACT


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_reparameterized_float32(golden, form):
    """The files are in float32: within 1e-4 of the range of the logits."""
    converted = reparameterize_state_dict(golden.state_dict,
                                          golden.text, form)
    model = load(golden_detector(golden, form).float(), converted)
    outputs = run_detector(model, golden.io['image'])
    expected = golden.outputs
    for name, value in outputs.items():
        assert relative_error(value.double(), expected[name]) <= 1e-4, name


def test_dual_neck_head_only(golden_dir):
    """The dual neck keeps its texts; its head is folded all the same."""
    golden = Golden(golden_dir, 'v1_dual_l2norm')
    converted = reparameterize_state_dict(
        double(golden.state_dict), golden.text.double(), 'text')
    model = golden_detector(golden)
    rep = golden_detector(golden, 'text_neck')
    assert not rep.text_conditioned
    assert model.text_conditioned
    load(rep, converted)
    with torch.no_grad():
        image = golden.io['image'].double()
        cls, bbox = rep(image, mode='tensor')
    outputs = {f'cls{i}': x for i, x in enumerate(cls)}
    outputs.update({f'bbox{i}': x for i, x in enumerate(bbox)})
    expected = {
        name: value
        for name, value in golden.outputs.items() if 'neck' not in name
    }
    assert worst_error(outputs, expected) <= EXACT


def wrong_fold_contrast(text, logit_scale, bias):
    """Forgets that the head normalizes the text."""
    return ((text * logit_scale.exp())[:, :, None, None],
            bias.reshape(1).repeat(len(text)))


def wrong_split_heads(guide, num_heads):
    """Interleaves the heads instead of keeping their channels together."""
    return guide.unflatten(-1, (-1, num_heads)).movedim(-1, -3)


def wrong_project_query(text, norm_weight, norm_bias, weight, bias):
    """Forgets the layer norm."""
    return (text * norm_weight + norm_bias) @ weight.t() + bias


def wrong_project_guide(text, weight, bias, num_heads):
    """Forgets the bias of the projection."""
    return folding.split_heads(text @ weight.t(), num_heads)


@pytest.mark.parametrize(
    ('name', 'twin', 'model', 'output'),
    [('fold_contrast', wrong_fold_contrast, 'v2_bn_unnormalized', 'cls0'),
     ('split_heads', wrong_split_heads, 'v2_bn_unnormalized', 'neck0'),
     ('project_guide', wrong_project_guide, 'v2_bn_unnormalized', 'neck0'),
     ('project_query', wrong_project_query, 'v1_dual_l2norm', 'neck1')])
def test_wrong_twins_fail(golden_dir, monkeypatch, name, twin, model, output):
    """A fold with a known mistake is far outside the tolerance."""
    golden = Golden(golden_dir, model)
    monkeypatch.setattr(folding, name, twin)
    model = folded_model(golden, 'rep_linear')
    outputs = run_detector(model, golden.io['image'].double())
    assert relative_error(outputs[output], golden.outputs[output]) > 1e-3


def test_wrong_gate_width_fails(golden_dir, monkeypatch):
    """√ of the output's width instead of the embed channels'."""
    golden = Golden(golden_dir, 'v2_bn')
    right = folding.max_sigmoid_gate

    def wrong(embed, guide, bias, scale=None):
        return right(embed, guide * 2**-0.5, bias, scale)

    monkeypatch.setattr(folding, 'max_sigmoid_gate', wrong)
    outputs = run_detector(
        text_model(golden), golden.io['image'].double(), golden.text.double())
    assert relative_error(outputs['neck0'], golden.outputs['neck0']) > 1e-3


@pytest.mark.parametrize('size', SIZES)
def test_full_size_keys(golden_dir, size):
    """Names and shapes of official checkpoints, in both forms."""
    expected = json.loads(
        (golden_dir / f'keys_yolo_world_v2_{size}.json').read_text())
    scale = dict(SIZES[size])
    last = scale.pop('last')
    for form in ('text', 'rep_conv'):
        with torch.device('meta'):
            model = build_detector(
                form,
                num_classes=80,
                embed_dims=512,
                last_stage_out_channels=last,
                embed_channels=(128, 256, last // 2),
                num_heads=(4, 8, last // 2 // 32),
                **scale)
        found = {
            name: list(value.shape)
            for name, value in model.state_dict().items()
            if name != 'embeddings'  # of the detector, not of checkpoints
        }
        assert found == expected[form]


@pytest.mark.parametrize('num_classes', [1, 1203])
def test_hidden_width_is_of_the_pretraining(num_classes):
    """The class branch has the same shapes for any vocabulary."""

    def branch(n):
        with torch.device('meta'):
            model = build_detector('rep_conv', num_classes=n)
        return {
            name: value.shape
            for name, value in model.state_dict().items()
            if 'cls_preds' in name
        }

    assert branch(num_classes) == branch(80)
