"""Ultralytics' YOLO-World-v2 files: what is taken, and what is refused."""
import json
import os

import numpy as np
import pytest
import torch
from builders import build_detector
from torch import nn
from ultralytics_files import rename, save_pickled, tiny_state_dict

from yolo_world_rep.checkpoint_file import read
from yolo_world_rep.reparam import (
    META_KEY,
    convert_checkpoint,
    load_checkpoint,
    records,
    ultralytics,
)
from yolo_world_rep.reparam.ultralytics import (
    BINS,
    convert_state_dict,
)
from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics

# Bottlenecks in the backbone and in the neck.
DEPTHS = dict(s=((1, 2, 2, 1), 1), m=((2, 4, 4, 2), 2), l=((3, 6, 6, 3), 3),
              x=((3, 6, 6, 3), 3))
CONTRAST = 'bbox_head.head_module.cls_contrasts.'


@pytest.fixture(scope='module')
def ours():
    return tiny_state_dict()


@pytest.fixture(scope='module')
def theirs(ours):
    return rename(ours)


@pytest.fixture
def file(tmp_path, theirs):
    path = tmp_path / 'yolov8s-worldv2.pt'
    save_pickled(path, theirs)
    return path


def same(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize('size', DEPTHS)
def test_all_keys_of_the_public_sizes(golden_dir, size):
    """Whole, with the shapes of official checkpoints."""
    expected = json.loads(
        (golden_dir /
         f'keys_yolo_world_v2_{size}.json').read_text())['text']
    backbone, neck = DEPTHS[size]
    blocks = dict(zip((2, 4, 6, 8), backbone))
    blocks.update(dict.fromkeys((12, 15, 18, 21), neck))
    theirs = rename(
        {
            name: torch.empty(shape, device='meta')
            for name, shape in expected.items()
        }, blocks)
    # The bins are a tensor there and none here.
    assert len(theirs) == len(expected) + 1
    found = convert_state_dict(theirs)
    assert {name: list(x.shape) for name, x in found.items()} == expected
    assert ultralytics.size_of(theirs) == size


@pytest.mark.parametrize(('their_name', 'our_name'), [
    ('model.0.bn.running_var', 'backbone.image_model.stem.bn.running_var'),
    ('model.4.m.1.cv2.conv.weight',
     'backbone.image_model.stage2.1.blocks.1.conv2.conv.weight'),
    ('model.9.cv2.bn.bias', 'backbone.image_model.stage4.2.conv2.bn.bias'),
    ('model.12.attn.gl.weight',
     'neck.top_down_layers.0.attn_block.guide_fc.weight'),
    ('model.15.attn.proj_conv.conv.weight',
     'neck.top_down_layers.1.attn_block.project_conv.conv.weight'),
    ('model.18.attn.bias', 'neck.bottom_up_layers.0.attn_block.bias'),
    ('model.19.conv.weight', 'neck.downsample_layers.1.conv.weight'),
    ('model.22.cv2.2.1.bn.weight',
     'bbox_head.head_module.reg_preds.2.1.bn.weight'),
    ('model.22.cv3.0.2.bias', 'bbox_head.head_module.cls_preds.0.2.bias'),
    ('model.22.cv4.1.logit_scale', f'{CONTRAST}1.logit_scale'),
    ('model.22.cv4.1.norm.running_mean', f'{CONTRAST}1.norm.running_mean'),
])
def test_names(theirs, their_name, our_name):
    found = convert_state_dict(theirs)
    assert torch.equal(found[our_name], theirs[their_name])


def test_round_trip(ours, theirs):
    before = {key: value.clone() for key, value in theirs.items()}
    found = convert_state_dict(theirs)
    assert same(found, ours)
    assert found[f'{CONTRAST}0.bias'].shape == ()
    assert same(theirs, before)


def test_pickled_module(file, ours, tmp_path):
    """A whole module in the file, read without its classes."""
    out = tmp_path / 'out' / 'ours.pth'
    result = convert_ultralytics(file, out)
    assert result.path == out
    assert result.num_tensors == len(ours)
    content = torch.load(out, weights_only=True)
    assert same(content['state_dict'], ours)
    meta = content['meta'][META_KEY]
    assert meta['format'] == 'text'
    assert meta['embed_dims'] == 64
    assert meta['source']['file'] == file.name
    # Nothing was left to be assumed.
    assert not any('bare' in note for note in result.notes)


def test_the_result_folds(file, tmp_path):
    out = tmp_path / 'ours.pth'
    convert_ultralytics(file, out)
    texts = tmp_path / 'texts.npy'
    np.save(texts, np.eye(5, 64, dtype=np.float32))
    folded = convert_checkpoint(out, texts, tmp_path, 'rep_conv').path
    build_detector(
        'rep_conv', num_classes=5).load_state_dict(
            load_checkpoint(folded).state_dict)


def test_half_precision(theirs, ours, tmp_path):
    """What Ultralytics saves: every value is kept, in float32."""
    path = tmp_path / 'half.pt'
    save_pickled(path, theirs, change=lambda model: model.half())
    result = convert_ultralytics(path, tmp_path / 'ours.pth')
    found = load_checkpoint(result.path).state_dict
    assert any('half precision' in note for note in result.notes)
    for name, value in ours.items():
        assert found[name].dtype == value.dtype
        if value.is_floating_point():
            value = value.half().float()
        assert torch.equal(found[name], value)


def test_averaged_weights_come_first(theirs, ours, tmp_path):
    """A training file has both, or the average alone."""
    path = tmp_path / 'last.pt'
    other = {key: torch.zeros_like(value) for key, value in theirs.items()}
    torch.save(dict(model=other, ema=theirs), path)
    found = convert_ultralytics(path, tmp_path / 'ours.pth')
    assert same(load_checkpoint(found.path).state_dict, ours)


@pytest.mark.parametrize('prefix', ['', 'model.', 'module.'])
def test_bare_state_dict(theirs, ours, tmp_path, prefix):
    path = tmp_path / 'bare.pt'
    torch.save({f'{prefix}{key}': x for key, x in theirs.items()}, path)
    result = convert_ultralytics(path, tmp_path / 'ours.pth')
    assert same(load_checkpoint(result.path).state_dict, ours)
    # It does not tell everything, and the user is told that.
    assert any('bare state dict' in note for note in result.notes)


def test_text_encoder_is_left_behind(theirs, ours):
    more = {**theirs, 'clip_model.token_embedding.weight': torch.zeros(2, 2)}
    assert same(convert_state_dict(more), ours)


def v1(state_dict):
    state_dict['model.16.projections.0.weight'] = torch.zeros(1)


def l2_head(state_dict):
    for key in [key for key in state_dict if '.norm.' in key]:
        del state_dict[key]


def segmentation(state_dict):
    state_dict['model.22.proto.cv1.conv.weight'] = torch.zeros(1)


def plain_yolov8(state_dict):
    for key in [key for key in state_dict if '.attn.' in key]:
        del state_dict[key]


def fused(state_dict):
    for key in [key for key in state_dict if '.bn.' in key]:
        del state_dict[key]
    state_dict['model.0.conv.bias'] = torch.zeros(1)


def truncated(state_dict):
    del state_dict['model.21.m.0.cv2.bn.bias']


def without_layer(state_dict):
    for key in [key for key in state_dict if key.startswith('model.8.')]:
        del state_dict[key]


def unknown(state_dict):
    state_dict['model.18.attn.ec.conv.weight'] = torch.zeros(1)


def other_widths(state_dict):
    key = 'model.6.cv2.conv.weight'
    state_dict[key] = state_dict[key][:, 1:]


def other_embedding(state_dict):
    key = 'model.15.attn.gl.weight'
    state_dict[key] = state_dict[key].repeat(2, 1)


def other_bins(state_dict):
    state_dict[BINS] = state_dict[BINS] * 2


def other_reach(state_dict):
    state_dict[BINS] = torch.arange(8.).reshape(1, 8, 1, 1)


def scale_of_each_text(state_dict):
    state_dict['model.22.cv4.1.bias'] = torch.zeros(80)


def single_number(state_dict):
    state_dict['model.4.cv1.conv.weight'] = torch.tensor(1.0)


def not_a_detector(state_dict):
    state_dict.clear()
    state_dict['fc.weight'] = torch.zeros(2, 2)


@pytest.mark.parametrize(('spoil', 'message'), [
    (v1, 'YOLO-World v1.*ImagePoolingAttn'),
    (l2_head, 'contrastive heads have no batch norm'),
    (segmentation, 'segmentation'),
    (plain_yolov8, 'not a YOLO-World: no layer takes a text'),
    (fused, r'fused.*before fuse\(\)'),
    (truncated, r'lacks model\.21\.m\.0\.cv2\.bn\.bias'),
    (without_layer, r'lacks model\.8\.cv1'),
    (unknown, r'Nothing here corresponds to model\.18\.attn\.ec'),
    (other_widths, r'model\.6\.cv2.*does not fit.*no C2f'),
    (other_embedding, r'model\.15\.attn embeds texts in 32 .* puts out 16'),
    (other_bins, 'dfl.*no exact map'),
    (other_reach, r'cv2\.0\.2\.bias has 64 channels; expected 4·8'),
    (scale_of_each_text, r'cv4\.1\.bias has 80 values; expected one'),
    (single_number, r'model\.4\.cv2.*does not fit'),
    (not_a_detector, 'no detector of Ultralytics'),
])
def test_other_models_are_refused(theirs, spoil, message):
    state_dict = dict(theirs)
    spoil(state_dict)
    with pytest.raises(ValueError, match=message):
        convert_state_dict(state_dict)


def child(model, name):
    return model.get_submodule(name)


def other_eps(model):
    child(model, 'model.22.cv4.0.norm').eps = 1e-5


def other_activation(model):
    child(model, 'model.9.cv1').act = nn.Identity()


def other_shortcut(model):
    child(model, 'model.12.m.0').add = True


def other_input(model):
    child(model, 'model.20').f = [-1, 8]


def other_class(model):
    child(model, 'model').add_module('9', child(model, 'model.8'))


def other_upsampling(model):
    child(model, 'model.10').mode = 'bilinear'


@pytest.mark.parametrize(('change', 'message'), [
    (other_eps, r'model\.22\.cv4\.0\.norm has eps 1e-05.*has 0\.001'),
    (other_activation, r"model\.9\.cv1 has the activation 'Identity'"),
    (other_shortcut, r'model\.12\.m\.0 has shortcut True'),
    (other_input, r'model\.20 has input from \[-1, 8\]'),
    (other_class, r"model\.9 has the class 'C2f'"),
    (other_upsampling, r"model\.10 has mode 'bilinear'"),
])
def test_modules_built_differently_are_refused(theirs, tmp_path, change,
                                               message):
    """What no tensor tells: the names and shapes are all right here."""
    path = tmp_path / 'other.pt'
    save_pickled(path, theirs, change=change)
    with pytest.raises(ValueError, match=message):
        convert_ultralytics(path, tmp_path / 'ours.pth')
    assert os.listdir(tmp_path) == ['other.pt']


class Hostile:
    """Unpickles by running a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker), )


@pytest.mark.parametrize('place', ['attribute', 'buffer', 'child', 'entry'])
def test_code_in_a_module_does_not_run(theirs, ours, tmp_path, place):
    """Wherever in the module it hides."""
    marker, path = tmp_path / 'it ran', tmp_path / 'hostile.pt'
    hostile = Hostile(marker)

    def plant(model):
        layer = child(model, 'model.5')
        if place == 'attribute':
            layer.hook = hostile
        elif place == 'buffer':
            layer._buffers['more'] = hostile
        elif place == 'child':
            layer._modules['more'] = hostile

    entries = dict(train_args=hostile) if place == 'entry' else {}
    save_pickled(path, theirs, change=plant, **entries)
    convert_ultralytics(path, tmp_path / 'ours.pth')
    assert same(load_checkpoint(tmp_path / 'ours.pth').state_dict, ours)
    assert not marker.exists()
    with pytest.raises(ModuleNotFoundError, match='ultralytics'):
        torch.load(path, weights_only=False)


def test_an_endless_module_is_refused(tmp_path):
    """A file can nest a module in itself."""
    path = tmp_path / 'endless.pt'
    module = nn.Module()
    module._modules.update(a=module, b=module)
    torch.save(dict(model=module), path)
    with pytest.raises(ValueError, match='more than 10000 modules'):
        convert_ultralytics(path, tmp_path / 'ours.pth')


def test_module_tensors_are_the_state_dict(tmp_path):
    """Of any torch module: parameters, buffers, shared and absent ones."""
    shared = nn.Linear(2, 3, bias=False)
    model = nn.Sequential(nn.BatchNorm1d(2), shared, nn.Sequential(shared))
    path = tmp_path / 'any.pt'
    torch.save(dict(model=model), path)
    found = records.module_tensors(read(path)['model'])
    assert same(found, model.state_dict())


def test_other_files_are_refused(tmp_path):
    path, out = tmp_path / 'file.pt', tmp_path / 'ours.pth'
    for content, message in ((dict(model=3, epoch=1),
                              'are no tensors: model, epoch. Expected a yolo'),
                             (dict(model={}), 'no tensor'),
                             (nn.ReLU(), 'holds a ReLU')):
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            convert_ultralytics(path, out)
    path.write_bytes(b'PK nothing')
    with pytest.raises(ValueError, match='truncated'):
        convert_ultralytics(path, out)
    assert not out.exists()


def test_no_overwriting_unless_told(file, tmp_path):
    out = tmp_path / 'ours.pth'
    out.write_bytes(b'precious')
    with pytest.raises(ValueError, match='exists.*`overwrite=True`'):
        convert_ultralytics(file, out)
    assert out.read_bytes() == b'precious'
    convert_ultralytics(file, out, overwrite=True)


def test_the_other_converter_says_where_to_go(file, tmp_path):
    with pytest.raises(ValueError, match='rep convert-ultralytics'):
        load_checkpoint(file)
