"""The COCO files of a user's own config."""
import copy
import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmyolo.registry import DATASETS
from tiny_training import NAMES, write_images

from yolo_world_rep.config import annotation_files
from yolo_world_rep.config.annotation_files import use_sound_files

LOADERS = ('train_dataloader', 'val_dataloader')


@pytest.fixture
def root(tmp_path):
    init_default_scope('mmyolo')
    write_images(tmp_path)
    return tmp_path


def config(root, names=NAMES, kind='YOLOv5CocoDataset', **more):
    def loader(**options):
        return dict(dataset=dict(
            type='MultiModalDataset', pipeline=[dict(
                type='LoadAnnotations', with_bbox=True, with_mask=True)],
            dataset=dict(
                type=kind, data_root=f'{root}/', ann_file='annotations.json',
                data_prefix=dict(img='images/'), pipeline=[],
                metainfo=dict(classes=names), **options)))

    return Config(dict(
        train_dataloader=loader(filter_cfg=dict(min_size=32)),
        val_dataloader=loader(test_mode=True), work_dir=str(root / 'work'),
        val_evaluator=[dict(type='mmdet.CocoMetric',
                            ann_file=f'{root}/annotations.json')], **more))


def change(root, edit):
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def named(dataset_cfg):
    """Names and boxes that a data set has, by its labels."""
    data = DATASETS.build(copy.deepcopy(dataset_cfg.dataset.dataset))
    return sorted(
        (Path(info['img_path']).name,
         data.metainfo['classes'][each['bbox_label']], each['bbox'])
        for info in map(data.get_data_info, range(len(data)))
        for each in info['instances'])


@pytest.fixture
def said(monkeypatch):
    texts = []
    monkeypatch.setattr(annotation_files, 'log',
                        lambda text, level: texts.append(text))
    return texts


def test_a_sound_file_is_used_as_it_is(root, said):
    cfg = config(root)
    before = copy.deepcopy(cfg._cfg_dict)
    use_sound_files(cfg, LOADERS)
    assert cfg._cfg_dict == before
    assert not (root / 'work').exists()
    assert len(said) == 1
    assert '4 of 4 validation image(s) are training images' in said[0]


@pytest.mark.parametrize('names', [
    NAMES[::-1], NAMES[1:], (NAMES[0], 'yak', *NAMES[1:])])
def test_labels_stand_for_the_classes_of_the_config(root, said, names):
    sound = named(config(root).train_dataloader)
    change(root, lambda content: content['annotations'].insert(
        0, dict(content['annotations'][0], id=0, bbox=[1, 1, 9, 9])))
    cfg = config(root, names)
    use_sound_files(cfg, LOADERS)
    assert named(cfg.train_dataloader) == named(cfg.val_dataloader) == sorted(
        [each for each in sound if each[1] in names] + (
            [('000.png', NAMES[0], [1, 1, 10, 10])] * (NAMES[0] in names)))
    written = cfg.val_dataloader.dataset.dataset.ann_file
    assert written == cfg.val_evaluator[0].ann_file == str(
        root / 'work' / 'annotations' / 'val_annotations.json')
    text = ' '.join(said)
    assert 'have no whole number above 0' in text
    assert ('order of the config' in text) == (names != NAMES[1:])
    assert ('boxes are of classes that the config does not have' in text) == (
        names == NAMES[1:])


def crowds(content):
    for box in content['annotations']:
        box['iscrowd'] = 1


def run_lengths(content):
    for box in content['annotations']:
        box['segmentation'] = dict(size=[64, 64], counts=[4096])


@pytest.mark.parametrize(('edit', 'message'), [
    (crowds, '8 of 8 boxes are crowds (iscrowd=1)'),
    (run_lengths, 'run lengths (RLE), which boxes cannot be refined by. Set '
                  'use_mask2refine=False'),
    (lambda content: content['categories'][0].update(name='box'),
     'class names occur more than once: box'),
    (lambda content: [each.update(name=f'{each["name"]}s')
                      for each in content['categories']],
     'has none of the config\'s classes'),
])
def test_what_cannot_be_trained_on_is_refused(root, said, edit, message):
    change(root, edit)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        use_sound_files(config(root), LOADERS)
    assert str(root / 'annotations.json') in str(caught.value)


def test_other_formats_and_tests_without_truth_are_left_alone(root, said):
    change(root, lambda content: content.pop('annotations'))
    use_sound_files(config(root, kind='YOLOv5LVISV1Dataset'), LOADERS)
    cfg = config(root)
    cfg.val_evaluator[0].format_only = True
    use_sound_files(cfg, LOADERS[1:])
    with pytest.raises(ValueError, match='no list \'annotations\''):
        use_sound_files(cfg, LOADERS)
