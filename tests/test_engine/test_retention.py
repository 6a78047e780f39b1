"""What is measured of classes that a model was not tuned on."""
import math

from mmengine.config import Config

from yolo_world_rep.engine.retention import group_means, with_classes


def test_means_of_groups():
    """A class without an instance has no AP and does not count."""
    metrics = {
        'coco/bbox_mAP': 0.1,
        'coco/cat_precision': 0.5,
        'coco/red cat_precision': 0.7,
        'coco/dog_precision': 0.9,
        'coco/bus_precision': float('nan'),
    }
    means = group_means(
        metrics, dict(tuned=['cat', 'dog', 'bus'], held_out=['red cat']))
    assert means == dict(tuned=0.7, held_out=0.7)
    assert math.isnan(group_means(metrics, dict(x=['bus']))['x'])


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
