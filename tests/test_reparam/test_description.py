"""One description of every checkpoint, and conversions that take it once."""
from collections import Counter

import pytest
import torch
from builders import EFFICIENT, build_detector

from yolo_world_rep.reparam import (
    checkpoint,
    conversion,
    convert_checkpoint,
    description_of,
    layers,
    load_checkpoint,
    state_dict,
)

DUAL = dict(embed_channels=32, num_heads=4)


@pytest.mark.parametrize(('form', 'options', 'expected'), [
    ('text', dict(), dict(
        neck='text', folded=False, text_conditioned=True, classes=None,
        guides=None, prompts=(7, 64), kind='text-conditioned')),
    ('text', dict(dual=DUAL, use_bn_head=False), dict(
        head='l2', dual=True, enhancers=('neck.text_enhancer', ))),
    ('rep_conv', dict(), dict(
        neck='rep_conv', folded=True, text_conditioned=False, classes=7,
        guides=7, prompts=None, contrasts=(), guided=())),
    ('rep_linear', dict(dual=DUAL), dict(
        neck='rep_linear', folded=True, dual=True, guides=7, enhancers=())),
    ('rep_conv', dict(block=dict(type=EFFICIENT)), dict(
        neck='none', folded=True, classes=7, guides=None)),
])
def test_of_models(form, options, expected):
    found = description_of(build_detector(form, **options).state_dict())
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.head == expected.get('head', 'bn')


def test_layers_by_their_names():
    found = description_of(build_detector('text').state_dict())
    head = 'bbox_head.head_module'
    assert found.contrasts == tuple(
        f'{head}.cls_contrasts.{level}' for level in range(3))
    assert len(found.guided) == 4
    assert all(name.endswith('.attn_block') for name in found.guided)
    assert found.folded_layers == ()
    assert found.row_axes == dict(embeddings=0)
    folded = description_of(build_detector('rep_linear').state_dict())
    assert folded.folded_layers == (head, *found.guided[2:],
                                    *found.guided[:2])
    assert folded.row_axes == {
        **{f'{name}.guide_weight': 1 for name in found.guided},
        **{f'{name}.conv.{part}': 0 for name in found.contrasts
           for part in ('weight', 'bias')}}


def test_of_nothing_and_of_something_else():
    for other in ({}, torch.nn.Linear(2, 2).state_dict()):
        found = description_of(other)
        assert found.kind == 'not a YOLO-World'
        assert (found.neck, found.head, found.size) == ('none', None, None)


def test_one_conversion_checks_once(golden_dir, tmp_path, monkeypatch):
    calls = Counter()

    def count(name, right):
        def counted(*args):
            calls[name] += 1
            return right(*args)

        for module in (checkpoint, conversion, layers, state_dict):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, counted)

    count('strip_wrapper', state_dict.strip_wrapper)
    count('inspect_layout', layers.inspect_layout)
    count('check_text', layers.check_text)
    convert_checkpoint(golden_dir / 'v2_bn.pth',
                       golden_dir / 'v2_bn_text.npy', tmp_path)
    assert calls == dict(strip_wrapper=1, inspect_layout=1, check_text=1)


def test_files_lose_the_name_of_the_wrapper(tmp_path):
    source = build_detector('rep_conv').state_dict()
    torch.save({f'module.{key}': value for key, value in source.items()},
               tmp_path / 'wrapped.pth')
    loaded = load_checkpoint(tmp_path / 'wrapped.pth')
    assert loaded.state_dict.keys() == source.keys()
    assert loaded.description == description_of(source)
