import pytest
from mmengine.config import Config
from tiny_training import CONFIG

from yolo_world_rep.config.bindings import BINDINGS
from yolo_world_rep.config.variables import (
    check_config,
    find,
    resolve_variables,
    unresolved_message,
)


@pytest.fixture(scope='module')
def shipped() -> Config:
    return Config.fromfile(CONFIG)


def with_options(cfg, **options):
    cfg = Config(cfg._cfg_dict.to_dict())
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in options.items()})
    return cfg


def test_shipped_config_is_resolved_and_coherent(shipped):
    _, notes = resolve_variables(shipped)
    assert notes == []
    check_config(shipped)


def test_every_binding_names_a_place_of_a_shipped_config(shipped):
    # A place that is misspelled in the table would never be carried on.
    # Whether the places have the right values: tests/test_configs.
    family = [shipped] + [
        Config.fromfile(CONFIG.parents[1] / '_base_' / f'{form}.py')
        for form in ('text', 'prompt')
    ]
    # Configs of new-config have a palette beside the names.
    named = dict(dataset=dict(metainfo=dict(classes=())))
    family.append(Config({**{
        f'{part}_dataloader': named for part in ('train', 'val', 'test')
    }, 'derived_with': {}}))
    for binding in BINDINGS:
        if '[' not in binding.where:
            assert any(
                next(find(cfg._cfg_dict, binding.where.split('.')), None)
                for cfg in family), binding.where
        assert any(
            set(binding.needs) <= cfg.derived_with.keys() for cfg in family)


def test_what_was_carried_on_is_told_in_short(shipped):
    _, notes = resolve_variables(
        with_options(shipped, max_epochs=12, img_scale=[320, 256]))
    assert 'train_cfg.max_epochs, ' in notes[-1]
    assert 'test_dataloader.….scale (2)' in notes[-1]


def test_a_change_of_one_variable_reaches_everything(shipped):
    cfg, notes = resolve_variables(
        with_options(
            shipped,
            num_classes=3,
            class_names=['a', 'b', 'c'],
            data_root='mine',
            max_epochs=12,
            close_mosaic_epochs=2,
            img_scale=[320, 256],
            norm_cfg__momentum=0.2,
            train_num_workers=0,
            train_batch_size_per_gpu=4))
    check_config(cfg)
    text = cfg._cfg_dict.to_dict()
    head = text['model']['bbox_head']['head_module']
    assert (head['num_classes'], head['num_guide']) == (3, 3)
    assert head['norm_cfg'] == dict(type='BN', momentum=0.2, eps=0.001)
    assert text['model']['neck']['block_cfg']['guide_channels'] == 3
    assert text['model']['train_cfg']['assigner']['num_classes'] == 3
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.default_hooks.param_scheduler.max_epochs == 12
    assert cfg.custom_hooks[1].switch_epoch == 10
    # mmengine takes tuples only.
    assert cfg.train_cfg.dynamic_intervals == [(10, 1)]
    assert isinstance(cfg.train_cfg.dynamic_intervals[0], tuple)
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        assert loader.dataset.data_root == 'mine'
        assert loader.dataset.metainfo.classes == ('a', 'b', 'c')
    assert cfg.val_evaluator.ann_file == (
        'mine/annotations/instances_val2017.json')
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is True
    assert cfg.optim_wrapper.optimizer.batch_size_per_gpu == 4
    pipelines = str([
        cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader,
        cfg.custom_hooks
    ])
    assert '640' not in pipelines
    assert '(-160, -128)' in pipelines
    # mmyolo's transforms insist on tuples.
    assert isinstance(
        cfg.train_dataloader.dataset.pipeline[2].img_scale, tuple)
    assert any('num_classes=3, was 80' in note for note in notes)
    assert resolve_variables(cfg)[1] == []


def test_one_class_name_and_a_file_of_names(shipped, tmp_path):
    cfg, _ = resolve_variables(
        with_options(shipped, num_classes=1, class_names='cat'))
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cat', )
    check_config(cfg)
    path = tmp_path / 'names.txt'
    path.write_text('cat\ndog\n')
    cfg, _ = resolve_variables(
        with_options(shipped, num_classes=2, class_names=str(path)))
    assert cfg.train_dataloader.dataset.metainfo.classes == str(path)
    check_config(cfg)


def test_values_set_by_hand_stay(shipped):
    cfg, _ = resolve_variables(
        with_options(
            shipped,
            num_classes=3,
            model__neck__guide_channels=20,
            model__neck__block_cfg__guide_channels=20))
    assert cfg.model.neck.guide_channels == 20
    assert cfg.model.bbox_head.head_module.num_classes == 3
    # All set by hand, the variable left alone: nothing is put back.
    cfg, notes = resolve_variables(
        with_options(shipped, train_cfg__max_epochs=7))
    assert cfg.train_cfg.max_epochs == 7
    assert notes == []


@pytest.mark.parametrize(('classes', 'padding'), [(79, 1), (3, 77), (3, 1)])
def test_guides_follow_classes_and_padding(shipped, classes, padding):
    cfg, _ = resolve_variables(
        with_options(shipped, num_classes=classes, num_padding=padding))
    assert cfg.model.neck.guide_channels == classes + padding
    assert cfg.model.neck.block_cfg.guide_channels == classes + padding
    assert cfg.model.bbox_head.head_module.num_classes == classes
    assert cfg.model.bbox_head.head_module.num_guide == classes


def test_resolving_changes_nothing_of_the_callers(shipped):
    cfg = with_options(shipped, num_classes=3)
    before = cfg._cfg_dict.to_dict()
    resolve_variables(cfg)
    assert cfg._cfg_dict.to_dict() == before


def test_unresolved_variables_have_a_message(shipped):
    assert unresolved_message(shipped) == ''
    assert 'num_classes=3 (derived with 80)' in unresolved_message(
        with_options(shipped, num_classes=3))
    assert unresolved_message(Config(dict(num_classes=3))) == ''


@pytest.mark.parametrize(('options', 'words'), [
    (dict(train_cfg__max_epochs=20), ['param_scheduler.max_epochs=80', '=20']),
    (dict(train_cfg__max_epochs=20,
          default_hooks__param_scheduler__max_epochs=20),
     ['switch_epoch=70', 'close_mosaic_epochs']),
    (dict(model__bbox_head__head_module__num_classes=3),
     ['assigner', 'num_classes=80', 'num_classes=3']),
    (dict(model__neck__guide_channels=3), ['guide_channels=3']),
    (dict(model__num_test_classes=3), ['num_test_classes=3']),
    (dict(val_dataloader__dataset__data_root='mine/'),
     ['val_evaluator.ann_file', 'mine/annotations']),
    (dict(train_dataloader__dataset__metainfo=dict(classes=['a', 'b'])),
     ['2 name(s)', 'num_classes=80']),
])
def test_contradictions_are_refused(shipped, options, words):
    with pytest.raises(ValueError, match='.') as caught:
        check_config(with_options(shipped, **options))
    for word in words:
        assert word in str(caught.value)


def test_find_knows_types_and_depths():
    tree = dict(a=[dict(type='mmdet.X', k=1), dict(type='Y', k=2)])
    assert [p for _, _, p in find(tree, ['**', '[X]', 'k'])] == ['a.0.k']
    assert [p for _, _, p in find(tree, ['a', '*', 'k'])] == ['a.0.k', 'a.1.k']
    assert list(find(tree, ['b', 'k'])) == []
