"""LVIS: names against the file, and an evaluation from end to end."""
import importlib.util
import json
import re
import sys

import numpy as np
import pytest
import torch
from tiny_training import (
    CONFIG,
    NAMES,
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.datasets.lvis import compare_with_categories
from yolo_world_rep.engine import resolve_variables
from yolo_world_rep.engine.launch import build_runner, config_for_test

ZERO_SHOT = CONFIG.parents[1].joinpath(
    'zero_shot', 'yolo_world_v2_s_rep_vlpan_bn_zeroshot_lvis_minival.py')
without_lvis = pytest.mark.skipif(
    importlib.util.find_spec('lvis') is None,
    reason='lvis is not installed: pip install "yolo-world-rep[lvis]"')


def categories(*names, **synonyms):
    return [
        dict(id=i + 1, name=name, synonyms=[name, *synonyms.get(name, ())])
        for i, name in enumerate(names)
    ]


def test_names_may_be_spelled_otherwise():
    file = categories(
        'trash_can', 'bow_(weapon)', 'Band_Aid', trash_can=['ashcan'])
    for names in (('trash_can', 'bow_(weapon)', 'Band_Aid'),
                  ('trash can', 'bow', 'band aid'),
                  ('ashcan', 'bow (weapon)', 'Band Aid'),
                  ('trash can/ashcan', 'bow/longbow', 'band aid')):
        assert compare_with_categories(names, file, 'lvis.json') is None


def test_another_order_is_refused():
    file = categories('apple', 'ax', 'bagel')
    with pytest.raises(ValueError, match=(
            r"lvis\.json: class 0 is 'ax', category 'apple'; class 1")):
        compare_with_categories(('ax', 'apple', 'bagel'), file, 'lvis.json')


def test_another_number_is_refused():
    with pytest.raises(ValueError, match='has 2 categories, and there are 1'):
        compare_with_categories(('ax', ), categories('ax', 'bagel'), 'f.json')


def test_unknown_names_are_told():
    message = compare_with_categories(('ax', 'dog'),
                                      categories('ax', 'bagel'), 'f.json')
    assert re.search(
        r"1 of 2 class names .* class 1 is 'dog', category 'bagel'", message)


def test_message_without_lvis(monkeypatch):
    from yolo_world_rep.datasets import YOLOv5LVISV1Dataset
    monkeypatch.setitem(sys.modules, 'lvis', None)
    with pytest.raises(ImportError, match=r'yolo-world-rep\[lvis\]'):
        YOLOv5LVISV1Dataset(ann_file='none.json')


@pytest.fixture
def lvis_root(tmp_path):
    """Drawn images, annotated as LVIS does."""
    write_images(tmp_path)
    path = tmp_path / 'annotations.json'
    content = json.loads(path.read_text())
    for image in content['images']:
        image.update(
            coco_url='http://images.cocodataset.org/images/' +
            image['file_name'],
            neg_category_ids=[],
            not_exhaustive_category_ids=[])
    for category in content['categories']:
        category.update(frequency='f', synonyms=[category['name']])
    path.write_text(json.dumps(content))
    texts = [[name] for name in NAMES]
    (tmp_path / 'texts.json').write_text(json.dumps(texts))
    return tmp_path


def lvis_options(root):
    found = options(root, class_text_path=f'{root}/texts.json')
    found.update(class_names=None, val_data_prefix='')
    return found


@without_lvis
def test_zero_shot_evaluation(lvis_root):
    """The config on a tiny model; detections are the boxes of the file."""
    cfg = read_config(ZERO_SHOT)
    changes = lvis_options(lvis_root)
    resolved = cfg.copy()
    resolved.merge_from_dict(changes)
    model = build_model(resolve_variables(resolved)[0])
    path = lvis_root / 'rep_conv.pth'
    torch.save(checkpoint_of(model), path)
    cfg = config_for_test(
        cfg,
        str(ZERO_SHOT),
        str(path),
        work_dir=str(lvis_root / 'run'),
        cfg_options=changes)
    runner = build_runner(cfg)
    dataset = runner.test_dataloader.dataset
    assert dataset.metainfo['classes'] == NAMES
    content = json.loads((lvis_root / 'annotations.json').read_text())

    def perfect(inputs, samples, rescale=True):
        for sample in samples:
            rows = [a for a in content['annotations']
                    if a['image_id'] == sample.img_id]
            boxes = torch.tensor([a['bbox'] for a in rows]).float()
            boxes[:, 2:] += boxes[:, :2]
            sample.pred_instances = type(sample.gt_instances)(
                bboxes=boxes,
                scores=torch.ones(len(rows)),
                labels=torch.tensor([a['category_id'] - 1 for a in rows]))
        return samples

    assert np.isfinite(runner.test()['lvis/bbox_AP'])
    runner.model.predict = perfect
    assert runner.test()['lvis/bbox_AP'] == 1.0


@without_lvis
def test_order_of_the_texts_is_checked_against_the_file(lvis_root):
    from yolo_world_rep.datasets import YOLOv5LVISV1Dataset
    texts = [[name] for name in reversed(NAMES)]
    (lvis_root / 'texts.json').write_text(json.dumps(texts))
    with pytest.raises(ValueError, match='The order differs'):
        YOLOv5LVISV1Dataset(
            ann_file=str(lvis_root / 'annotations.json'),
            class_text_path=str(lvis_root / 'texts.json'))
