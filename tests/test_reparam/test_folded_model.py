import copy

import pytest
import torch
from builders import build_detector
from own_data import NAMES, folded_checkpoint

from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep.reparam.folded_model import folded_model

TINY = dict(widen_factor=0.125, num_heads=(16, 16, 32), embed_dims=64)


@pytest.fixture(scope='module')
def content():
    return folded_checkpoint(**TINY, meta=dict(embed_dims=64))


def read(folder, content, size=None):
    path = folder / 'folded.pth'
    torch.save(content, path)
    return folded_model(load_checkpoint(path), size)


def test_what_a_config_needs(tmp_path, content):
    model = read(tmp_path, content)
    assert (model.neck_form, model.bn_head, model.text_width,
            model.num_guide, model.classes) == ('rep_conv', True, 64, 3,
                                                NAMES)


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_size_and_form_are_those_of_the_tensors(tmp_path, form):
    model = read(tmp_path, folded_checkpoint(form), size='s')
    assert (model.size, model.neck_form) == ('s', form)
    with pytest.raises(ValueError, match='of size s, and `size` is l'):
        folded_model(load_checkpoint(tmp_path / 'folded.pth'), 'l')


def test_real_conversion_is_read(tmp_path, golden_dir):
    from yolo_world_rep.reparam import convert_checkpoint
    done = convert_checkpoint(
        golden_dir / 'v2_bn.pth', golden_dir / 'v2_bn_text.npy', tmp_path,
        'rep_conv')
    with pytest.raises(ValueError, match='no names for its'):
        folded_model(load_checkpoint(done.path))
    loaded = load_checkpoint(done.path)
    count = loaded.meta['yolo_world_rep']['num_classes']
    loaded.meta['yolo_world_rep']['classes'] = [str(i) for i in range(count)]
    model = folded_model(loaded)
    assert len(model.classes) == model.num_guide == count


@pytest.mark.parametrize(('key', 'value'), [
    ('num_classes', 4), ('num_guide', 4), ('embed_dims', 512),
    ('format', 'rep_linear')])
def test_meta_against_the_tensors(tmp_path, content, key, value):
    changed = copy.deepcopy(content)
    changed['meta']['yolo_world_rep'][key] = value
    with pytest.raises(ValueError, match=f'its meta says {key}={value!r}'):
        read(tmp_path, changed)


def test_names_of_other_number_than_rows(tmp_path, content):
    changed = copy.deepcopy(content)
    changed['meta']['yolo_world_rep']['classes'] = ('a', 'b')
    with pytest.raises(ValueError, match=r'len\(classes\)=2.*of 3'):
        read(tmp_path, changed)


def test_text_conditioned_files_are_to_be_folded_first(tmp_path):
    model = build_detector('text', num_classes=3, **TINY)
    with pytest.raises(ValueError, match='rep fold .*folded.pth --words cat'):
        read(tmp_path, dict(state_dict=model.state_dict(), meta={}))


def test_files_of_other_tools_and_other_models(tmp_path, content):
    state = content['state_dict']
    model = read(tmp_path, dict(state_dict=state, meta=dict(
        dataset_meta=dict(classes=NAMES, palette=[]))))
    assert model == read(tmp_path, content)
    for meta in ({}, dict(dataset_meta=dict(classes=('a', 'b')))):
        with pytest.raises(ValueError, match='no names for its 3 classes'):
            read(tmp_path, dict(state_dict=state, meta=meta))
    with pytest.raises(ValueError, match='is not a YOLO-World'):
        read(tmp_path, dict(state_dict=dict(a=torch.zeros(1)), meta={}))
    half = {
        **content['state_dict'],
        **{k: v for k, v in build_detector(
            'text', num_classes=3, **TINY).state_dict().items()
           if k.startswith('neck.') and '.guide_fc.' in k}
    }
    half = {k: v for k, v in half.items() if '.guide_convs.' not in k}
    with pytest.raises(ValueError, match='without --head-only'):
        read(tmp_path, dict(state_dict=half, meta=content['meta']))
