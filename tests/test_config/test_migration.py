"""Configs of the original, and those that people made of them."""
from pathlib import Path

import pytest
from mmengine.config import Config

from yolo_world_rep.config.migration import (
    config_from_file,
    migrate_config,
    unmended,
)
from yolo_world_rep.utils.configs import config_root
from yolo_world_rep_cli.main import main

BASE = 'yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py'
#: As people's configs are: comments, two literals of a base, their paths.
CONFIG = """# Köpfe: eight of them
_base_ = ('../../third_party/mmyolo/configs/yolov8/'
          'yolov8_s_syncbn_fast_8xb16-500e_coco.py')  # of the submodule
custom_imports = dict(imports=['yolo_world'],
                      allow_failed_imports=False)

num_classes = 8  # mine
model = dict(
    type='SimpleYOLOWorldDetector',
    mm_neck=False,
    num_train_classes=num_classes,
    num_test_classes=num_classes,
    bbox_head=dict(head_module=dict(num_classes=num_classes)),
    train_cfg=dict(assigner=dict(num_classes=num_classes)))
train_dataloader = dict(
    collate_fn=dict(type='yolow_collate'),
    dataset=dict(data_root='/home/somebody/data/mine/',
                 metainfo=dict(classes=('a', 'b'))))
load_from = r'D:\\weights\\yolo_world_v2_s.pth'
"""


@pytest.fixture
def original(tmp_path) -> Path:
    path = tmp_path / 'configs' / 'mine.py'
    path.parent.mkdir()
    path.write_text(CONFIG, encoding='utf-8')
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new), encoding='utf-8')


def test_copy_is_the_config_written_for_this_package(original, tmp_path):
    done = migrate_config(original, tmp_path / 'new.py')
    assert [change.split(':')[0] for change in done.changes] == [
        'line 2', 'line 4']
    assert f'is now mmyolo::{BASE}' in done.changes[0]
    copy = done.path.read_text(encoding='utf-8')
    assert copy == CONFIG.replace(
        """'../../third_party/mmyolo/configs/yolov8/'
          'yolov8_s_syncbn_fast_8xb16-500e_coco.py'""",
        f"'mmyolo::{BASE}'").replace("['yolo_world']", "['yolo_world_rep']")
    cfg = config_from_file(done.path)
    assert cfg.model.backbone.type == 'YOLOv8CSPDarknet'
    assert cfg.train_dataloader.collate_fn.type == 'yolow_collate'
    assert original.read_text(encoding='utf-8') == CONFIG
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


def test_what_is_left_to_mend_is_said(original, tmp_path):
    done = migrate_config(original, tmp_path / 'new.py')
    assert done.remarks == (
        'line 17: /home/somebody/data/mine/ is not on this machine',
        'line 19: D:\\weights\\yolo_world_v2_s.pth is not on this machine')
    edit(original, "type='SimpleYOLOWorldDetector',",
         "type='SimpleYOLOWorldDetector', reparameterized=True,")
    done = migrate_config(original, tmp_path / 'other.py')
    assert ('it will be refused: train_dataloader.dataset.metainfo.classes '
            'has 2 name(s) and the model num_classes=8') in done.remarks[-1]


def test_classes_of_nobody_are_named(original, tmp_path):
    edit(original, 'SimpleYOLOWorldDetector', 'OurDetector')
    edit(original, "'yolow_collate'", "'our_collate'")
    done = migrate_config(original, tmp_path / 'new.py')
    assert done.remarks[-1].startswith(
        'no package that is imported here has OurDetector, our_collate: ')


def test_collate_function_of_mmyolo_is_freed_of_its_scope(original, tmp_path):
    """mmengine would call it with an argument that it does not have."""
    for number, (old, new, kind) in enumerate((
        ("'yolow_collate'", "'pseudo_collate'", 'pseudo_collate'),
        ("    collate_fn=dict(type='pseudo_collate'),\n", '',
         'yolov5_collate'),
        ('train_dataloader', 'more_settings', 'yolov5_collate'))):
        edit(original, old, new)
        path = tmp_path / f'{number}.py'
        assert 'train_dataloader.collate_fn' in migrate_config(
            original, path).changes[-1]
        loader = Config.fromfile(path).train_dataloader
        assert loader.collate_fn == dict(type=kind)
        assert (loader.dataset.data_root == '/home/somebody/data/mine/') == (
            number < 2)


def test_configs_without_our_import_get_it(original, tmp_path):
    edit(original, "['yolo_world']", "['somebody']")
    done = migrate_config(original, tmp_path / 'new.py')
    assert done.changes[-1] == 'at the end: custom_imports names ' \
        'yolo_world_rep'
    cfg = Config.fromfile(done.path, import_custom_modules=False)
    assert cfg.custom_imports.imports == ['somebody', 'yolo_world_rep']
    path = tmp_path / 'bare.py'
    path.write_text("model = dict(type='YOLOWorldDetector')\n")
    done = migrate_config(path, tmp_path / 'own.py')
    assert Config.fromfile(
        done.path).custom_imports.imports == ['yolo_world_rep']


def test_bases_beside_it_and_bases_of_ours(original, tmp_path):
    ours = 'finetune_coco/yolo_world_v2_s_vlpan_bn_sgd_1e-3_80e_8gpus_' \
        'finetune_coco.py'
    child = original.with_name('child.py')
    child.write_text("_base_ = ['settings.py', "
                     f"'../configs/{ours}']\nmax_epochs = 3\n")
    child.with_name('settings.py').write_text('seed = 5\n')
    done = migrate_config(child, tmp_path / 'deep' / 'new.py')
    cfg = Config.fromfile(done.path)
    assert (cfg.seed, cfg.max_epochs) == (5, 3)
    assert (config_root() / ours).as_posix() in done.path.read_text()
    assert "'../configs/settings.py'" in done.path.read_text()


@pytest.mark.parametrize('old, new, message', [
    ('_coco.py', '_coco2.py', 'the installed mmyolo .* has no config'),
    ('../../third_party/mmyolo/configs/yolov8/', 'somewhere/',
     'is not there: put it beside'),
    ('SimpleYOLOWorldDetector', 'YOLOWorldImageDetector',
     'YOLOWorldImageDetector of the original YOLO-World is not here'),
    ('num_classes = 8', 'num_classes = nothing', 'cannot be read: NameError'),
    ('num_classes = 8', 'num_classes = = 8', 'is not Python'),
    ('_base_ = (', '_base_ = str(', 'line 2: _base_ is computed'),
])
def test_refused_without_a_trace(original, tmp_path, old, new, message):
    edit(original, old, new)
    with pytest.raises(ValueError, match=message) as error:
        migrate_config(original, tmp_path / 'new.py')
    assert str(original) in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ['configs']


def test_nothing_is_overwritten(original, tmp_path):
    out = tmp_path / 'new.py'
    out.write_text('precious')
    with pytest.raises(ValueError, match='exists; choose another name'):
        migrate_config(original, out)
    assert out.read_text() == 'precious'
    with pytest.raises(ValueError, match='ends in .py'):
        migrate_config(original, tmp_path / 'new.yaml')


def test_a_base_that_needs_it_too(original, tmp_path):
    child = original.with_name('child.py')
    child.write_text("_base_ = 'mine.py'\n")
    assert str(original) in unmended(child)
    with pytest.raises(ValueError, match='its _base_ must be fixed first'):
        migrate_config(child, tmp_path / 'new.py')


@pytest.mark.parametrize('command', ['train', 'test', 'migrate-config'])
def test_commands(original, tmp_path, command, capsys):
    """The first two end in the line that names the third."""
    last = ['--out', str(tmp_path / 'new.py')
            ] if command == 'migrate-config' else []
    last = [__file__] if command == 'test' else last
    with pytest.raises(SystemExit) as end:
        main([command, str(original), *last])
    out, err = capsys.readouterr()
    if command == 'migrate-config':
        assert (end.value.code, err) == (0, '')
        assert out.count('\n') == 5
        assert 'to do: line 17: /home' in out
        return
    assert end.value.code == 2
    line, = err.splitlines()
    assert line == (
        f'error: {original} imports yolo_world, the original\'s package. '
        f'Write the copy that runs here: yolo-world-rep migrate-config '
        f'{original} --out {original.with_suffix("")}_here.py')


def test_a_missing_base_names_the_command_too(original):
    edit(original, 'yolo_world', 'yolo_world_rep')
    assert 'names a base that is not there, ../../third' in unmended(original)
    with pytest.raises(ValueError, match='migrate-config'):
        config_from_file(original)
    for path in config_root().rglob('*.py'):
        assert unmended(path) is None


def test_a_config_without_a_model(tmp_path):
    """As a full disk leaves it in the folder of a training."""
    (tmp_path / 'empty.py').touch()
    with pytest.raises(ValueError, match=r'empty.py has no model=dict\(...\)'):
        config_from_file(tmp_path / 'empty.py')
