"""What one of several gloo processes does; started by test_processes.py."""
import sys
from pathlib import Path
from typing import List

import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmyolo.registry import MODELS
from tiny_training import CONFIG, options, read_config
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.engine import launch


@MODELS.register_module(force=True)
class Oracle(BaseModel):
    """Detects what is annotated, and in every other image not quite."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for sample in data_samples:
            boxes = sample.gt_instances.bboxes
            boxes = getattr(boxes, 'tensor', boxes).clone()
            labels = sample.gt_instances.labels
            boxes[:, 0] += 9 * (sample.img_id % 2)
            sample.pred_instances = InstanceData(
                bboxes=boxes,
                labels=labels,
                scores=0.9 - 0.1 * sample.img_id + 0.01 * labels)
        return data_samples


def test_config(root: Path, out: Path, launcher: str) -> Config:
    """The shipped config's test, of the oracle."""
    torch.save(dict(state_dict=Oracle().state_dict()), out / 'oracle.pth')
    cfg = launch.config_for_test(
        read_config(),
        str(CONFIG),
        str(out / 'oracle.pth'),
        work_dir=str(out / launcher),
        cfg_options=options(root, val_batch_size_per_gpu=1),
        launcher=launcher,
        cuda=False)
    cfg.model = dict(type='Oracle')
    cfg.custom_hooks = []
    return cfg


class FixedStatistics(Hook):
    """Batch norms as in evaluation: no image depends on another."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


class Recorder(Runner):
    """Keeps a rank's batches and the model around every step."""

    steps: List[dict]

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name in ('before_train_iter', 'after_train_iter'):
            state = self.model.module.state_dict()
            self.steps.append(
                dict(
                    state={k: v.clone() for k, v in state.items()},
                    batch=kwargs['data_batch']))
        super().call_hook(fn_name, **kwargs)


def train(root: Path, out: Path, name: str, **more) -> Recorder:
    cfg = launch.config_for_training(
        read_config(),
        str(CONFIG),
        work_dir=str(out / name),
        cfg_options=options(
            root,
            train_batch_size_per_gpu=1,
            max_epochs=1,
            **{
                'randomness.seed': 5,
                **more
            }),
        launcher='pytorch',
        cuda=False)
    # Plain descent: the step is the gradient, whatever its size.
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    cfg.default_hooks.param_scheduler = dict(type='ParamSchedulerHook')
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    launch.start_processes(cfg, cuda=False)
    runner = Recorder.from_cfg(cfg)
    runner.steps = []
    return runner


def main(root: Path, out: Path) -> None:
    recipe = train(root, out, 'recipe')
    recipe.train()
    averaged, = (hook.ema_model.module for hook in recipe.hooks
                 if isinstance(hook, EMAHook))
    orders = []
    for epoch in range(2):
        sampler = recipe.train_dataloader.sampler
        sampler.set_epoch(epoch)
        orders.append(list(sampler))

    fixed = train(
        root, out, 'fixed', close_mosaic_epochs=1, **{
            'model.bbox_head.type': 'RepYOLOWorldHead',
            'model.bbox_head.global_normalizer': True
        })
    fixed.register_hook(FixedStatistics())
    fixed.train()

    metrics = launch.build_runner(test_config(root, out, 'pytorch')).test()
    torch.save(
        dict(
            steps=recipe.steps,
            state=recipe.model.module.state_dict(),
            averaged=averaged.state_dict(),
            orders=orders,
            fixed=fixed.steps,
            metrics=metrics), out / f'rank{recipe.rank}.pth')


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
