"""Files whose class branch followed the vocabulary, through each command."""
import json

import pytest
import torch
from builders import detector_cfg
from mmengine.config import Config, ConfigDict
from mmyolo.registry import MODELS
from original_files import PRETRAINED, checkpoint
from own_data import NAMES, arguments, folded_checkpoint, write_data
from tiny_deploy import SIZE, model_cfg, write_files
from tiny_training import (
    CONFIG,
    build_model,
    losses,
    options,
    read_config,
    write_images,
)
from tiny_training import NAMES as DRAWN

from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.config.new_config import Wishes, new_config
from yolo_world_rep.config.own_data import read_own_data
from yolo_world_rep.deploy.export import export_model
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.engine import launch, resolve_variables
from yolo_world_rep.inference import Predictor
from yolo_world_rep.reparam import convert_checkpoint

WIDTH = 365
BRANCH = 'bbox_head.head_module.cls_preds.0.0.conv.weight'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Images, and a wide file with names of its pre-training."""
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    cfg = read_config()
    cfg.merge_from_dict(options(root))
    cfg = resolve_variables(cfg)[0]
    cfg.model.bbox_head.head_module.pretrain_classes = WIDTH
    torch.save(
        checkpoint(build_model(cfg).state_dict()), root / 'rep_conv.pth')
    return root


def training(data, work_dir, **more):
    return launch.config_for_training(
        read_config(), str(CONFIG), work_dir=str(work_dir),
        resume=more.pop('resume', None),
        cfg_options=options(data, max_epochs=1, **more), cuda=False)


def test_training_resuming_and_testing(data, tmp_path):
    cfg = training(data, tmp_path)
    assert cfg.model.bbox_head.head_module.pretrain_classes == WIDTH
    launch.build_runner(cfg).train()
    assert losses(tmp_path)
    last = tmp_path / 'epoch_1.pth'
    saved = torch.load(last, weights_only=False)
    assert saved['state_dict'][BRANCH].shape[0] == WIDTH
    assert saved['meta']['dataset_meta']['classes'] == DRAWN
    cfg = training(data, tmp_path, resume=str(last))
    assert cfg.model.bbox_head.head_module.pretrain_classes == WIDTH
    for path in (last, data / 'rep_conv.pth'):
        cfg = launch.config_for_test(
            read_config(), str(CONFIG), str(path), work_dir=str(tmp_path),
            cfg_options=options(data), cuda=False)
        assert 'coco/bbox_mAP' in launch.build_runner(cfg).test()


def test_a_branch_that_starts_afresh_is_the_configs(data, tmp_path):
    fresh = ['bbox_head.head_module.cls_preds']
    cfg = training(data, tmp_path,
                   **{'default_hooks.checkpoint_guard.fresh': fresh})
    head = cfg.model.bbox_head.head_module
    assert head.get('pretrain_classes', 80) == 80


def test_a_file_that_cannot_be_read_is_left_to_what_loads_it(data, tmp_path):
    path = tmp_path / 'x.pth'
    path.write_bytes(b'PK\x03\x04' + b'0' * 50 + b'PK\x05\x06' + b'\0' * 18)
    cfg = training(data, tmp_path, load_from=str(path))
    assert 'pretrain_classes' not in cfg.model.bbox_head.head_module


def test_prediction_and_export(tmp_path):
    files = write_files(tmp_path, names=PRETRAINED, pretrain_classes=WIDTH)
    config = tmp_path / 'narrow.py'
    cfg = Config.fromfile(files.config)
    cfg.model = model_cfg()
    cfg.dump(config)
    found = Predictor(str(config), str(files.checkpoint))
    expected = Predictor(str(files.config), str(files.checkpoint))
    assert found.spec.classes == expected.spec.classes == (
        'ball', 'box', 'kite')
    image = torch.rand(1, 3, *SIZE, generator=torch.manual_seed(0)).numpy()
    for ours, theirs in zip(found.backend._run(image),
                            expected.backend._run(image)):
        assert (ours == theirs).all()
    result = export_model(config, files.checkpoint, tmp_path / 'out',
                          'torchscript', image_size=SIZE)
    assert result.path.is_file()


def test_conversion_and_text_conditioned_prediction(tmp_path):
    cfg = Config(dict(model=detector_cfg('text', pretrain_classes=WIDTH)))
    torch.manual_seed(0)
    built = MODELS.build(ConfigDict(cfg.model))
    built.init_weights()
    torch.save(checkpoint(built.state_dict()), tmp_path / 'text.pth')
    cfg.model = ConfigDict(detector_cfg('text'))
    model, _ = load_detector(cfg, tmp_path / 'text.pth')
    assert len(model.state_dict()[BRANCH]) == WIDTH
    # The caller's config stays as it was.
    assert cfg.model.bbox_head.head_module.pretrain_classes == 80
    done = convert_checkpoint(tmp_path / 'text.pth', 'checkpoint', tmp_path,
                              'rep_conv')
    cfg.model = ConfigDict(detector_cfg('rep_conv'))
    folded, _ = load_detector(cfg, done.path)
    assert torch.equal(folded.state_dict()[BRANCH],
                       model.state_dict()[BRANCH])


def test_new_config_writes_it(tmp_path):
    write_data(tmp_path)
    torch.save(folded_checkpoint(pretrain_classes=WIDTH),
               tmp_path / 'wide.pth')
    out = tmp_path / 'my.py'
    made = new_config(
        read_own_data(find_data(**arguments(tmp_path)), out),
        tmp_path / 'wide.pth', out,
        Wishes(size='s', image_size=(64, 64), batch_size=2, workers=0))
    assert f'pretrain_classes={WIDTH}' in made.text.replace(' ', '')
    assert json.dumps(NAMES[0])[1:-1] in made.text
