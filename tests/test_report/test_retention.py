"""What is measured of classes that a model was not tuned on."""
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import randomize
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS

from yolo_world_rep.datasets import shapes
from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.report.retention import (
    between,
    evaluate_retention,
    extend,
    mean_ap,
    with_classes,
)
from yolo_world_rep.text import WordEncoder, save_embeddings

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'


def test_means_of_groups():
    """A class without an instance has no AP and does not count."""
    ap = {'cat': 0.5, 'x/red cat': 0.7, 'dog': 0.9, 'bus': math.nan}
    assert mean_ap(ap, ['cat', 'dog', 'bus', 'gone']) == pytest.approx(0.7)
    assert mean_ap(ap, ['x/red cat']) == 0.7
    assert math.isnan(mean_ap(ap, ['bus']))


def test_classes_of_a_config():
    """Every place follows, the caller's config stays."""
    cfg = Config(
        dict(
            num_classes=3,
            derived_with=dict(num_classes=3, base_lr=1),
            model=dict(
                num_test_classes=3,
                neck=dict(
                    guide_channels=4, block_cfg=dict(guide_channels=4)),
                bbox_head=dict(head_module=dict(num_guide=3, num_classes=3)),
                train_cfg=dict(assigner=dict(num_classes=3)))))
    wider = with_classes(cfg, 5, 6)
    assert wider.model.neck == dict(
        guide_channels=6, block_cfg=dict(guide_channels=6))
    assert wider.model.bbox_head.head_module == dict(
        num_guide=5, num_classes=5)
    assert wider.model.train_cfg.assigner.num_classes == 5
    assert wider.num_classes == wider.derived_with.num_classes == 5
    assert 'num_train_classes' not in wider.model
    assert cfg.model.neck.guide_channels == 4


def test_extended_in_the_order_of_the_labels(golden_dir, tmp_path):
    """As if all classes had been folded at once, in the data's order."""
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = ('a', 'b', 'c', 'd', 'e')

    def fold(names):
        path = tmp_path / f'{"".join(names)}.npy'
        save_embeddings(path, rows[[order.index(n) for n in names]], names)
        return path, convert_checkpoint(
            golden_dir / 'v2_bn.pth', path, tmp_path / path.stem,
            'rep_conv').path

    tuned, held_out = fold(('d', 'b'))[1], fold(('e', 'a', 'c'))[0]
    out = tmp_path / 'extended.pth'
    extend(tuned, held_out, order, out)
    found, expected = (
        torch.load(path, weights_only=True)['state_dict']
        for path in (out, fold(order)[1]))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-7)
    assert not list(tmp_path.glob('*.wider.pth'))
    with pytest.raises(ValueError, match=r"no classes named \['f'\]"):
        extend(tuned, held_out, (*order, 'f'), out)


@pytest.mark.slow
def test_whole_evaluation(golden_dir, tmp_path, monkeypatch):
    """Two checkpoints on a few images, through the runner."""
    shapes.write_dataset(tmp_path / 'val', 2, shapes.all_pairs(), (0, ))
    monkeypatch.setenv('SHAPES_ROOT', str(tmp_path))
    cfg = Config.fromfile(DEMO / 'yolo_world_tiny_shapes.py')
    # No table of texts is needed to make weights.
    cfg.model.backbone.with_text_model = False
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = randomize(MODELS.build(cfg.model))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'text.pth')
    encoder = WordEncoder(128)
    for name, pairs in (('tuned', shapes.seen_pairs()),
                        ('held_out', shapes.unseen_pairs())):
        save_embeddings(tmp_path / f'{name}.npy', encoder.encode(pairs),
                        pairs)
    before = convert_checkpoint(tmp_path / 'text.pth', tmp_path / 'tuned.npy',
                                tmp_path, 'rep_conv').path
    points = between(before, before, [], tmp_path)
    results = evaluate_retention(
        DEMO / 'yolo_world_tiny_rep_shapes_finetune.py', points,
        tmp_path / 'held_out.npy', str(tmp_path / 'work'))
    assert [each.name for each in results] == ['before', 'after']
    assert results[0][1:] == results[1][1:]
    assert 0 <= results[0].tuned <= 1
    assert 0 <= results[0].held_out <= 1
    ap = json.loads((tmp_path / 'work' / 'retention.json').read_text())
    assert list(ap) == ['before', 'after']
    assert set(ap['before']) == set(shapes.all_pairs())
