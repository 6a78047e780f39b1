import pytest
from mmengine.config import Config
from tiny_training import CONFIG

from yolo_world_rep.engine import launch


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


def test_amp_needs_a_gpu_and_a_plain_wrapper():
    with pytest.raises(ValueError, match='--amp needs a GPU'):
        training(amp=True)
    wrapper = training(amp=True, cuda=True).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    assert wrapper.optimizer == dict(lr=1.)
    other = plain()
    other.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='ApexOptimWrapper'):
        training(other, amp=True, cuda=True)


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
    with pytest.raises(ValueError, match='slurm needs GPUs'):
        training(launcher='slurm')


def test_processes_need_their_environment(monkeypatch):
    monkeypatch.delenv('MASTER_PORT', raising=False)
    with pytest.raises(ValueError, match='MASTER_PORT.*dist_train.sh'):
        launch.start_processes(training(launcher='pytorch'), cuda=False)
    launch.start_processes(training(), cuda=False)  # one process: nothing


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


def test_bias_warmup_of_sgd_is_reported_for_adam(monkeypatch):
    messages = []
    monkeypatch.setattr(launch, 'print_log',
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
