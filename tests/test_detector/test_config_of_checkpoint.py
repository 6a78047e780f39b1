"""A folded checkpoint needs no config."""
import warnings

import pytest
import torch
from builders import build_detector, randomize, text_state
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from tiny_deploy import NAMES, SIZE, SMALL, model_cfg, pipeline

from yolo_world_rep.detector.config_of_checkpoint import (
    _of_training,
    config_of_checkpoint,
    trained_with,
)
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.detector.spec_of_config import spec_of_config
from yolo_world_rep.reparam import convert_checkpoint, load_checkpoint
from yolo_world_rep.reparam.editing import edit_checkpoint
from yolo_world_rep.reparam.inspection import inspect_checkpoint

THRESHOLDS = dict(
    multi_label=True, nms_pre=3000, score_thr=0.2,
    nms=dict(type='nms', iou_threshold=0.5), max_per_img=7)


def saved(folder, form='rep_conv', cfg=None, **changes):
    """A file as the converter writes it, and its model."""
    model = randomize(build_detector(form, **{**SMALL, **changes}))
    meta = dict(yolo_world_rep=dict(classes=NAMES))
    if cfg is not None:
        meta['cfg'] = cfg
    torch.save(dict(state_dict=model.state_dict(), meta=meta),
               folder / 'm.pth')
    return folder / 'm.pth', model


def text_of_config():
    """As mmengine writes it into the meta of a training."""
    return Config(dict(
        model=dict(model_cfg(), test_cfg=THRESHOLDS),
        hook=dict(type='A', value=float('inf')),
        test_dataloader=dict(dataset=dict(
            type='YOLOv5CocoDataset', pipeline=pipeline())))).pretty_text


@pytest.mark.parametrize('changes', [
    {}, dict(form='rep_linear'), dict(block=dict(
        type='EfficientCSPLayerWithTwoConv')),
    dict(use_bn_head=False), dict(embed_dims=48), dict(num_heads=(8, 8, 16)),
    dict(deepen_factor=0.67, last_stage_out_channels=768,
         embed_channels=(128, 256, 384))])
def test_the_model_is_that_of_the_tensors(tmp_path, changes):
    path, model = saved(tmp_path, **changes)
    loaded = load_checkpoint(path)
    built, _ = load_detector(config_of_checkpoint(loaded), path)
    images = torch.rand(1, 3, *SIZE) * 255
    with torch.no_grad():
        for found, expected in zip(built(images, mode='tensor'),
                                   model.eval()(images, mode='tensor')):
            for pair in zip(found, expected):
                assert torch.equal(*pair)


def test_what_no_training_wrote_has_the_values_of_our_configs(tmp_path):
    loaded = load_checkpoint(saved(tmp_path)[0])
    cfg = config_of_checkpoint(loaded)
    spec = spec_of_config(cfg, load_detector(cfg, loaded.path)[0])
    assert spec.classes == NAMES
    assert spec.image_size == (640, 640)
    assert spec.std == (255, 255, 255)


def test_folding_keeps_the_size_that_the_source_was_trained_with(tmp_path):
    """So a checkpoint of 1280x1280 detects at 1280x1280."""
    model = randomize(build_detector('text', **SMALL))
    torch.save(dict(state_dict=text_state(model),
                    meta=dict(cfg=text_of_config())), tmp_path / 'text.pth')
    path = convert_checkpoint(tmp_path / 'text.pth', None, tmp_path,
                              words=NAMES, encoder='words').path
    edit_checkpoint(path, tmp_path / 'edited.pth', keep=NAMES[:2])
    for each in (path, tmp_path / 'edited.pth'):
        cfg = config_of_checkpoint(load_checkpoint(each))
        spec = spec_of_config(cfg, load_detector(cfg, each)[0])
        assert spec.image_size == SIZE
        assert spec.max_detections == 7
    assert 'cfg' not in inspect_checkpoint(path)['folding']['source']


def test_what_a_training_wrote_is_taken_from_it(tmp_path):
    loaded = load_checkpoint(saved(tmp_path, cfg=text_of_config())[0])
    cfg = config_of_checkpoint(loaded)
    spec = spec_of_config(cfg, load_detector(cfg, loaded.path)[0])
    assert spec.image_size == SIZE
    assert spec.max_detections == 7
    assert spec.iou_threshold == 0.5


@pytest.mark.parametrize('text', [
    'test_dataloader = __import__("os").system("touch marker")',
    'test_dataloader = dict(dataset=dict(pipeline=[dict(type="A")]))',
    'model = dict(test_cfg=dict(nms=open("marker", "w")))',
    'test_dataloader = dict(dataset=dict(pipeline=[dict(type="LetterResize", '
    'scale=(320000, 320000))]))',
    'model = dict(test_cfg=dict(score_thr=float("nan")))',
    'model = dict(test_cfg=dict(nms_pre=-1))',
    'model = dict(test_cfg=3, data_preprocessor=dict(mean=[1], std=[]))',
    'model = ' + '(' * 5000, 'model = ' + '-' * 100000 + '1',
    'x' * (1 << 21), 'model'])
def test_nothing_of_a_config_in_a_file_is_run(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    path, _ = saved(tmp_path, cfg=text)
    cfg = config_of_checkpoint(load_checkpoint(path))
    assert cfg.model.test_cfg.nms.iou_threshold == 0.7
    assert cfg.model.test_cfg.nms_pre == 30000
    assert cfg.test_dataloader.dataset.pipeline[2].scale == (640, 640)
    assert not (tmp_path / 'marker').exists()


def test_plain_values_alone():
    values = trained_with(dict(cfg='a = dict(b=[1, (2, dict(c="d"))])\n'
                               'e = f(1)\ng = {"h": -1.5}'))
    assert values == dict(a=dict(b=[1, (2, dict(c='d'))]), g=dict(h=-1.5))
    assert trained_with({}) == trained_with(dict(cfg=3)) == {}


WORDS = st.sampled_from([
    'model', 'test_dataloader', ' = ', 'dict(', ')', '[', ']', '(', ',', '\n',
    'pipeline=', 'dataset=', 'test_cfg=', 'nms=', 'scale=', '640', '-',
    '1e999', '"LetterResize"', 'type=', '"\\d"', 'lambda: ', '*', '{', '}',
    ':', 'x'])


@given(st.text() | st.lists(WORDS, max_size=60).map(''.join))
def test_any_text_may_stand_there(text):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert isinstance(_of_training(dict(cfg=text)), dict)


def test_what_mmengine_saved_has_the_names_of_its_data_set(tmp_path):
    """Without this package's hooks, or by the tools of the original."""
    path, model = saved(tmp_path)
    meta = dict(dataset_meta=dict(classes=NAMES), epoch=3)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    cfg = config_of_checkpoint(load_checkpoint(path))
    spec = spec_of_config(cfg, load_detector(cfg, path)[0])
    assert spec.classes == NAMES


def test_the_dual_neck_needs_its_config(tmp_path):
    path, _ = saved(tmp_path, dual=dict(embed_channels=32, num_heads=4))
    with pytest.raises(ValueError, match='dual neck of v1.*its config too'):
        config_of_checkpoint(load_checkpoint(path))


def test_a_text_conditioned_one_is_refused(tmp_path):
    model = randomize(build_detector('text', **SMALL))
    torch.save(dict(state_dict=model.state_dict(), meta={}),
               tmp_path / 'text.pth')
    with pytest.raises(ValueError, match='text-conditioned: fold'):
        config_of_checkpoint(load_checkpoint(tmp_path / 'text.pth'))
