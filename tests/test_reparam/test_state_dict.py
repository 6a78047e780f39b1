"""The conversion of state dicts, and its check of itself."""
import copy
from typing import Dict

import pytest
import torch
from builders import build_detector, randomize, relative_error, run_detector
from torch import Tensor

from yolo_world_rep.reparam import (
    check_conversion,
    folding,
    inspect_layout,
    reparameterize_state_dict,
    require_exact,
)
from yolo_world_rep.reparam.state_dict import strip_wrapper

NUM_TEXTS, WIDTH = 7, 64


def text_checkpoint(**kwargs) -> Dict[str, Tensor]:
    """State dict of a randomized text-conditioned model."""
    model = randomize(build_detector('text', **kwargs))
    state_dict = dict(model.state_dict())
    del state_dict['embeddings']
    return state_dict


@pytest.fixture(scope='module')
def source() -> Dict[str, Tensor]:
    return text_checkpoint()


@pytest.fixture
def text() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NUM_TEXTS, WIDTH, generator=generator) * 2


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
@pytest.mark.parametrize('use_bn_head', [True, False])
@pytest.mark.parametrize(
    'block', [dict(), dict(with_scale=True)], ids=['plain', 'scale'])
def test_models_agree(form, use_bn_head, block, text):
    """Whole models on a non-square image, scales and statistics random."""
    options = dict(use_bn_head=use_bn_head, block=block)
    state_dict = {
        key: value.double() if value.is_floating_point() else value
        for key, value in text_checkpoint(**options).items()
    }
    model = build_detector('text', **options).double()
    model.load_state_dict(state_dict, strict=False)
    folded = build_detector(form, **options).double()
    converted = reparameterize_state_dict(state_dict, text.double(), form)
    folded.load_state_dict(converted, strict=True)
    image = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    expected = run_detector(model, image, text.double())
    found = run_detector(folded, image)
    for name, value in expected.items():
        assert relative_error(found[name], value) <= 1e-10, name


def test_embed_conv_stays(text):
    """Embed channels of another width than the input keep their conv."""
    options = dict(embed_channels=(256, 256, 512))
    state_dict = text_checkpoint(**options)
    assert any('embed_conv' in key for key in state_dict)
    converted = reparameterize_state_dict(state_dict, text)
    build_detector('rep_conv', **options).load_state_dict(converted)
    require_exact(check_conversion(state_dict, converted, text))


def test_pure(source, text):
    """Neither the caller's dict nor its tensors change."""
    before = copy.deepcopy(source)
    keys = list(source)
    reparameterize_state_dict(source, text)
    check_conversion(source, reparameterize_state_dict(source, text), text)
    assert list(source) == keys
    assert all(torch.equal(source[key], before[key]) for key in keys)


def test_what_is_left_behind(source, text):
    """Text encoder, prompts and adapter do not travel."""
    extra = {
        'backbone.text_model.model.text_projection.weight': torch.zeros(2, 2),
        'embeddings': torch.zeros(3, WIDTH),
        'adapter.0.weight': torch.zeros(2, 2)
    }
    converted = reparameterize_state_dict({**source, **extra}, text)
    assert not any(
        key.startswith(('backbone.text_model', 'embeddings', 'adapter'))
        for key in converted)
    untouched = [key for key in source if key in converted]
    assert len(untouched) > 300
    assert all(torch.equal(source[key], converted[key]) for key in untouched)


def test_wrapped_keys(source, text):
    """A checkpoint of a distributed wrapper converts all the same."""
    wrapped = {f'module.{key}': value for key, value in source.items()}
    assert reparameterize_state_dict(
        wrapped, text).keys() == reparameterize_state_dict(source,
                                                           text).keys()


def test_wrappers_are_stripped_once_and_only_in_front():
    one = torch.zeros(1)
    stripped = strip_wrapper({'module.a': one, 'b.module.c': one})
    assert set(stripped) == {'a', 'b.module.c'}


@pytest.mark.parametrize('num_texts', [1, 80, 131])
def test_any_number_of_texts(source, num_texts):
    text = torch.nn.functional.normalize(torch.randn(num_texts, WIDTH))
    converted = reparameterize_state_dict(source, text, 'rep_linear')
    build_detector(
        'rep_linear', num_classes=num_texts).load_state_dict(converted)
    require_exact(check_conversion(source, converted, text))


def test_half_precision_checkpoint(source, text):
    """Products are made in float64 and rounded once, to float32."""
    half = {
        key: value.half() if value.is_floating_point() else value
        for key, value in source.items()
    }
    converted = reparameterize_state_dict(half, text)
    key = 'bbox_head.head_module.cls_contrasts.0.conv.weight'
    assert converted[key].dtype == torch.float32
    for check in check_conversion(half, converted, text):
        assert check.stored < 1e-5


@pytest.mark.parametrize(
    ('name', 'twin'),
    [('normalize_text', lambda text: text),
     ('split_heads', lambda guide, heads: guide.unflatten(
         -1, (-1, heads)).movedim(-1, -3)),
     ('project_guide', lambda text, weight, bias, heads: folding.split_heads(
         text @ weight.t(), heads)),
     ('fold_contrast', lambda text, scale, bias: (
         (folding.normalize_text(text) * scale.exp())[:, :, None, None],
         bias.reshape(1).repeat(len(text)) * 0))],
    ids=['not normalized', 'heads mixed', 'no bias', 'no head bias'])
def test_verification_catches_wrong_folds(source, text, monkeypatch, name,
                                          twin):
    """The check does not share the mistake it looks for."""
    monkeypatch.setattr(folding, name, twin)
    converted = reparameterize_state_dict(source, text)
    with pytest.raises(ValueError, match='does not compute what'):
        require_exact(check_conversion(source, converted, text))


def test_verification_catches_a_damaged_tensor(source, text):
    converted = reparameterize_state_dict(source, text)
    key = 'neck.top_down_layers.1.attn_block.guide_convs.1.weight'
    converted[key] = converted[key].roll(1, 1)
    with pytest.raises(ValueError, match='top_down_layers.1.attn_block'):
        require_exact(check_conversion(source, converted, text))
    converted[key] = torch.full_like(converted[key], float('nan'))
    with pytest.raises(ValueError, match='nothing was written'):
        require_exact(check_conversion(source, converted, text))


def test_layout(source):
    layout = inspect_layout(source)
    assert [layer.num_heads for layer in layout.guided] == [2, 2, 2, 4]
    assert layout.head_kind == 'bn'
    assert layout.text_channels == WIDTH
    assert not layout.dual


def test_converting_twice_says_how_to_go_on(source, text):
    converted = reparameterize_state_dict(source, text)
    with pytest.raises(ValueError, match='reparameterized already.*rep con'):
        reparameterize_state_dict(converted, text)


@pytest.mark.parametrize(
    ('make', 'message'),
    [(lambda text: text[:, :32], 'width 32, but the checkpoint.*64'),
     (lambda text: text[0], 'shape'), (lambda text: text[:0], 'shape'),
     (lambda text: text / 0, 'NaN or infinite'),
     (lambda text: text * (torch.arange(7) != 3)[:, None],
      r'rows of zeros \(\[3\]\)')],
    ids=['width', 'one dimension', 'empty', 'infinite', 'zero row'])
def test_texts_that_do_not_fit(source, text, make, message):
    with pytest.raises(ValueError, match=message):
        reparameterize_state_dict(source, make(text))


def test_not_a_yolo_world(text):
    plain = {'backbone.stem.conv.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match='no YOLO-World layers'):
        reparameterize_state_dict(plain, text)


def test_foreign_and_missing_keys_are_named(source, text):
    with pytest.raises(ValueError, match='belong to no part.*ema_decay'):
        reparameterize_state_dict({**source, 'ema_decay': text}, text)
    key = 'neck.top_down_layers.0.attn_block.guide_fc.bias'
    lacking = {k: v for k, v in source.items() if k != key}
    with pytest.raises(ValueError, match=f'lacks {key}'):
        reparameterize_state_dict(lacking, text)


def test_dual_neck(text):
    """Half of it folds; the head alone does, where that is asked for."""
    dual = dict(
        type='ImagePoolingAttentionModule', embed_channels=32, num_heads=4)
    state_dict = text_checkpoint(dual=dual, use_bn_head=False)
    for form in ('rep_conv', 'rep_linear'):
        converted = reparameterize_state_dict(state_dict, text, form)
        checks = check_conversion(state_dict, converted, text)
        assert [check.kind for check in checks] == [
            form, form, 'rep_query', 'rep_l2', 'rep_l2', 'rep_l2'
        ]
        assert all(check.passed for check in checks)
        assert torch.equal(converted['neck.texts'], text)
        converted['neck.text_enhancer.query_weight'][0, 0] += 0.1
        checks = check_conversion(state_dict, converted, text)
        assert not checks[2].passed
    converted = reparameterize_state_dict(state_dict, text, 'text')
    assert torch.equal(converted['embeddings'], text)
    kinds = {
        check.kind
        for check in check_conversion(state_dict, converted, text)
    }
    assert kinds == {'rep_l2'}
