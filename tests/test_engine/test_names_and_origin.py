"""What a training leaves in its model and checkpoints beside the weights."""
from types import SimpleNamespace

import pytest
import torch
from built_loop import Loop
from tiny_training import (
    NAMES,
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.config.variables import resolve_variables
from yolo_world_rep.engine import ClassNamesHook, FoldedMetaHook, adapt, launch
from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep.reparam.editing import edit_checkpoint


def make_runner(**loops):
    model = torch.nn.Linear(2, 2)
    return SimpleNamespace(
        model=model, **{f'_{name}_loop': loop
                        for name, loop in loops.items()})


@pytest.mark.parametrize(('loops', 'expected'), [
    (dict(train=Loop(('a', )), val=Loop(('b', )), test=None), ('a', )),
    (dict(train=dict(type='built later'), test=Loop(['b', 'c'])),
     ('b', 'c')),
    (dict(train=Loop(None), val=Loop('cat')), ('cat', )),
])
def test_the_model_gets_the_names_of_the_data(loops, expected):
    runner = make_runner(**loops)
    ClassNamesHook().before_run(runner)
    assert runner.model.dataset_meta == dict(classes=expected)


def test_origin_is_carried_on_with_the_present_classes():
    runner = make_runner()
    runner.model.dataset_meta = dict(classes=NAMES)
    loaded = dict(
        meta=dict(
            yolo_world_rep=dict(
                source='official', num_classes=4, classes=tuple('abcd'))))
    hook = FoldedMetaHook()
    saved = {}
    hook.before_save_checkpoint(runner, saved)
    assert saved == {}
    hook.after_load_checkpoint(runner, loaded)
    hook.before_save_checkpoint(runner, saved)
    assert saved['meta']['yolo_world_rep'] == dict(
        num_classes=3,
        classes=NAMES,
        source='official',
        # The neck's guides are still those of the four classes.
        neck_vocabulary='own')
    assert loaded['meta']['yolo_world_rep']['num_classes'] == 4


def test_they_are_added_to_old_configs_and_not_twice():
    cfg = read_config()
    adapt.keep_names_and_origin(cfg)
    assert 'checkpoint_guard' in cfg.default_hooks
    for key, kind in (('class_names', 'ClassNamesHook'),
                      ('folded_meta', 'FoldedMetaHook')):
        assert cfg.default_hooks[key] == dict(type=kind)
    cfg.custom_hooks = [cfg.default_hooks.pop('folded_meta')]
    adapt.keep_names_and_origin(cfg)
    assert 'folded_meta' not in cfg.default_hooks


def test_classes_are_changed_after_a_training_without_the_guard(tmp_path):
    write_images(tmp_path)
    cfg = read_config()
    cfg.merge_from_dict(options(tmp_path, max_epochs=1))
    cfg.work_dir = str(tmp_path / 'run')
    cfg.launcher = 'none'
    del cfg.default_hooks['checkpoint_guard']
    start = checkpoint_of(build_model(resolve_variables(cfg)[0]))
    # Layers of this kind fold new classes; none is added here.
    start['meta']['yolo_world_rep'].update(
        num_guide=len(NAMES), text_layers={'layer.bias': torch.zeros(1)})
    torch.save(start, tmp_path / 'rep_conv.pth')
    runner = launch.build_runner(cfg)
    assert not any(type(hook).__name__ == 'CheckpointGuardHook'
                   for hook in runner.hooks)
    runner.train()
    edit_checkpoint(tmp_path / 'run' / 'epoch_1.pth', tmp_path / 'edited.pth',
                    keep=[NAMES[2], NAMES[0]])
    edited = load_checkpoint(tmp_path / 'edited.pth')
    assert edited.class_names == (NAMES[2], NAMES[0])
    assert edited.description.classes == edited.description.guides == 2
