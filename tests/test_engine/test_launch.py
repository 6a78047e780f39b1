import os
import subprocess
import sys
from datetime import timedelta

import pytest
from mmengine.config import Config
from tiny_training import CONFIG

from yolo_world_rep.engine import adapt, launch


def plain(**more) -> Config:
    """As little of a config as the functions here read."""
    return Config(
        dict(
            model=dict(type='YOLODetector'),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(lr=1.)),
            default_hooks=dict(visualization=dict(type='X')),
            **more))


def training(cfg=None, **more):
    more.setdefault('cuda', False)
    return launch.config_for_training(cfg or plain(), 'a/my.py', **more)


def test_work_dir_is_the_commands_the_configs_or_named_after_it():
    assert training().work_dir == 'work_dirs/my'
    assert training(plain(work_dir='w')).work_dir == 'w'
    assert training(plain(work_dir='w'), work_dir='v').work_dir == 'v'


def test_callers_config_is_not_changed():
    cfg = Config.fromfile(CONFIG)
    before = cfg._cfg_dict.to_dict()
    launch.config_for_training(
        cfg, str(CONFIG), launcher='pytorch', cuda=False,
        cfg_options=dict(num_classes=3))
    launch.config_for_training(cfg, str(CONFIG), amp=True, cuda=True)
    launch.config_for_test(
        cfg, str(CONFIG), str(CONFIG), show_dir='s', json_prefix='p',
        tta=True, deploy=True, cuda=False)
    assert cfg._cfg_dict.to_dict() == before


def test_guard_is_added_where_a_config_lacks_it_and_only_there():
    hooks = training().default_hooks
    assert hooks.checkpoint_guard.type == 'CheckpointGuardHook'
    assert hooks.visualization.type == 'X'
    own = dict(type='CheckpointGuardHook', from_scratch=True)
    cfg = training(plain(custom_hooks=[own]))
    assert 'checkpoint_guard' not in cfg.default_hooks
    assert 'checkpoint_guard' in training(
        plain(custom_hooks=[dict(type='EMAHook')])).default_hooks


def test_checkpoints_are_the_safe_kind_unless_a_config_has_its_own():
    own = dict(type='CheckpointHook', interval=3, max_keep_ckpts=2)
    cfg = plain()
    cfg.default_hooks.checkpoint = own
    assert training(cfg).default_hooks.checkpoint == dict(
        own, type='SafeCheckpointHook')
    # mmengine would add one of its own.
    assert training().default_hooks.checkpoint == dict(
        type='SafeCheckpointHook', interval=1)
    cfg.default_hooks.checkpoint = dict(type='TheirCheckpointHook')
    assert training(cfg).default_hooks.checkpoint == dict(
        type='TheirCheckpointHook')


def test_statistics_are_shared_where_there_are_several_processes():
    assert 'sync_statistics' not in training().default_hooks
    hooks = training(launcher='pytorch', cuda=True).default_hooks
    assert hooks.sync_statistics == dict(type='SyncStatisticsHook')


def test_amp_is_of_the_machine(monkeypatch):
    wrapper = training(amp=True, cuda=True).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    assert wrapper.optimizer == dict(lr=1.)
    other = plain()
    other.optim_wrapper.type = 'ApexOptimWrapper'
    for cuda in (True, False):
        with pytest.raises(ValueError, match='ApexOptimWrapper'):
            training(other, amp=True, cuda=cuda)
    # A config for GPUs, on a CPU: refused, or bfloat16 when asked for.
    other.optim_wrapper.update(
        type='AmpOptimWrapper', loss_scale=512., dtype='float16')
    with pytest.raises(ValueError, match='needs a GPU.*`amp=True`'):
        training(other)
    assert training(other, amp=True).optim_wrapper == dict(
        type='CPUAmpOptimWrapper', optimizer=dict(lr=1.))
    assert training(amp=True).optim_wrapper.type == 'CPUAmpOptimWrapper'

    def unsupported(*args):
        raise RuntimeError('no such instruction')

    monkeypatch.setattr('torch.autocast', unsupported)
    with pytest.raises(ValueError, match='no such instruction.*leave `amp`'):
        training(amp=True)


def test_unreadable_images_are_left_out_of_the_training_only():
    load = dict(type='LoadImageFromFile', backend_args=None)
    checked = dict(load, type='LoadCheckedImageFromFile')

    def loader(load=load):
        mix = dict(type='Mosaic', pre_transform=[load])
        return dict(dataset=dict(pipeline=[load, mix]))

    cfg = plain(
        train_dataloader=loader(),
        val_dataloader=loader(),
        custom_hooks=[dict(type='X', switch_pipeline=[load])])
    skipping = training(cfg, skip_unreadable=True)
    first, second = skipping.train_dataloader.dataset.pipeline
    for changed in (first, second.pre_transform[0],
                    skipping.custom_hooks[0].switch_pipeline[0]):
        assert changed == dict(checked, ignore_empty=True)
    assert skipping.val_dataloader == loader(checked)
    assert training(cfg).train_dataloader == loader(checked)
    with pytest.raises(ValueError, match='`skip_unreadable`.*LoadImage'):
        training(plain(train_dataloader=dict()), skip_unreadable=True)


def test_processes_without_gpus():
    cfg = training(
        plain(
            find_unused_parameters=True,
            model_wrapper_cfg=dict(static_graph=True)),
        launcher='pytorch')
    wrapper = cfg.model_wrapper_cfg
    assert 'device_ids' in wrapper
    assert wrapper.device_ids is None
    assert wrapper.find_unused_parameters
    assert wrapper.static_graph
    assert cfg.model.use_syncbn is False
    assert cfg.env_cfg.dist_cfg.backend == 'gloo'
    # Nothing of it in one process, or with GPUs.
    for cfg in (training(), training(launcher='pytorch', cuda=True)):
        assert 'model_wrapper_cfg' not in cfg
        assert 'use_syncbn' not in cfg.model
    # Only mmyolo's detectors take use_syncbn.
    other = plain()
    other.model.type = 'mmdet.DetTTAModel'
    assert 'use_syncbn' not in training(other, launcher='pytorch').model
    with pytest.raises(ValueError, match='mpi needs GPUs'):
        training(launcher='mpi')


def test_processes_need_their_environment(monkeypatch):
    monkeypatch.delenv('MASTER_PORT', raising=False)
    with pytest.raises(ValueError, match='MASTER_PORT.*torchrun'):
        launch.start_processes(training(launcher='pytorch'), cuda=False)
    with pytest.raises(ValueError, match='RANK.*srun'):
        launch.start_processes(training(launcher='slurm'), cuda=False)
    launch.start_processes(training(), cuda=False)  # one process: nothing


def test_slurm_and_a_timeout_reach_torch(monkeypatch):
    made = []
    monkeypatch.setattr('torch.distributed.init_process_group',
                        lambda *args, **kwargs: made.append((args, kwargs)))
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'):
        monkeypatch.setenv(name, 'stale')  # restored after the test
    monkeypatch.delenv('MASTER_PORT')
    monkeypatch.setenv('MASTER_ADDR', 'node1')
    for name, value in (('PROCID', '5'), ('NTASKS', '8'), ('LOCALID', '1')):
        monkeypatch.setenv(f'SLURM_{name}', value)
    cfg = training(launcher='slurm')
    cfg.env_cfg.dist_cfg.timeout = 60
    launch.start_processes(cfg, cuda=False)
    assert made == [(('gloo', ), dict(timeout=timedelta(seconds=60)))]
    assert [os.environ[name] for name in (
        'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
            ] == ['5', '8', '1', 'node1', '29500']


def test_missing_checkpoints_are_refused(tmp_path):
    with pytest.raises(ValueError, match='gone.pth: no such checkpoint'):
        training(resume=str(tmp_path / 'gone.pth'))
    with pytest.raises(ValueError, match='gone.pth: no such checkpoint'):
        launch.config_for_test(plain(), 'my.py', 'gone.pth', cuda=False)


def test_missing_files_are_listed_together(tmp_path):
    (tmp_path / 'there.json').touch()
    cfg = plain(
        load_from=str(tmp_path / 'gone.pth'),
        train_dataloader=dict(
            dataset=dict(
                dataset=dict(data_root=str(tmp_path), ann_file='gone.json'))),
        val_dataloader=dict(
            dataset=dict(data_root=str(tmp_path), ann_file='there.json')))
    with pytest.raises(ValueError, match=r'gone\.json.*gone\.pth') as caught:
        launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
    assert 'there.json' not in str(caught.value)
    launch.check_files(plain(), ('train_dataloader', ))
    launch.check_files(plain(load_from='https://x/y.pth'), ())
    (tmp_path / 'half.pth').write_bytes(b'PK\x03\x04 and no end')
    with pytest.raises(ValueError, match=r'half\.pth is truncated'):
        launch.check_files(plain(load_from=str(tmp_path / 'half.pth')), ())


def test_bias_warmup_of_sgd_is_reported_for_adam(monkeypatch):
    messages = []
    monkeypatch.setattr(adapt, 'log',
                        lambda message, *args: messages.append(message))

    def said(**hook):
        messages.clear()
        cfg = plain(train_cfg=dict(max_epochs=3))
        cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=2e-4)
        cfg.default_hooks.param_scheduler = dict(
            type='YOLOv5ParamSchedulerHook', max_epochs=3, **hook)
        training(cfg)
        return ' '.join(messages)

    assert 'warmup_bias_lr=0.1' in said()
    assert said(warmup_bias_lr=0.0) == ''


def test_accumulation_says_what_it_does_to_the_step(monkeypatch):
    messages = []
    monkeypatch.setattr(adapt, 'log',
                        lambda message, *args: messages.append(message))
    for kind, word in (('SGD', '4 times the lr'), ('AdamW', 'the mean of')):
        cfg = plain()
        training(cfg)
        assert messages == []
        cfg.optim_wrapper.update(
            accumulative_counts=4, optimizer=dict(type=kind, lr=1.))
        training(cfg)
        assert word in messages.pop()
        assert messages == []


def test_test_arguments_reach_the_config(tmp_path):
    checkpoint = tmp_path / 'c.pth'
    checkpoint.touch()

    def tested(**more):
        return launch.config_for_test(
            Config.fromfile(CONFIG), str(CONFIG), str(checkpoint), cuda=False,
            **more)

    cfg = tested(
        show_dir='drawn', wait_time=3, json_prefix='boxes', deploy=True)
    assert cfg.load_from == str(checkpoint)
    assert not cfg.resume
    drawing = cfg.default_hooks.visualization
    assert drawing.draw
    assert drawing.test_out_dir == 'drawn'
    assert 'show' not in drawing
    assert cfg.test_evaluator.format_only
    assert cfg.test_evaluator.outfile_prefix == 'boxes'
    assert cfg.custom_hooks[-1].type == 'SwitchToDeployHook'
    assert tested(show=True, wait_time=3).default_hooks.visualization == dict(
        type='mmdet.DetVisualizationHook', _scope_='mmyolo', draw=True,
        show=True, wait_time=3)
    averaged = tested(tta=True)
    assert averaged.model.module.type == 'SimpleYOLOWorldDetector'
    assert averaged.test_dataloader.dataset.pipeline == averaged.tta_pipeline
    with pytest.raises(ValueError, match='no tta_model'):
        launch.config_for_test(
            plain(), 'my.py', str(checkpoint), tta=True, cuda=False)
    bare = plain()
    del bare.default_hooks['visualization']
    with pytest.raises(ValueError, match='default_hooks.visualization'):
        launch.config_for_test(
            bare, 'my.py', str(checkpoint), show=True, cuda=False)


def test_upper_case_metainfo_is_a_users_mistake():
    cfg = plain(
        train_dataloader=dict(dataset=dict(metainfo=dict(CLASSES=('a', )))))
    with pytest.raises(ValueError, match='lowercase'):
        launch.build_runner(cfg)


def test_training_without_albumentations_ends_in_one_line():
    hidden = ('import sys; sys.modules["albumentations"] = None; '
              'from yolo_world_rep_cli.main import main; main()')
    done = subprocess.run(
        [sys.executable, '-c', hidden, 'train', str(CONFIG)],
        capture_output=True, text=True)
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert error.startswith('error: train_dataloader.dataset.')
    assert error.endswith('is an Albu, and albumentations is not installed: '
                          'pip install albumentations')
    assert 'Traceback' not in done.stderr


def test_albumentations_is_asked_for_where_it_is_used(monkeypatch):
    cfg = plain(train_dataloader=dict(dataset=dict(
        pipeline=[dict(type='A'), dict(type='mmdet.Albu')])))
    launch.check_files(cfg, ('train_dataloader', ))
    monkeypatch.setitem(sys.modules, 'albumentations', None)
    launch.check_files(cfg, ('test_dataloader', ))
    with pytest.raises(ImportError, match=r'pipeline\.1 is an Albu'):
        launch.check_files(cfg, ('train_dataloader', ))
