"""What one of two gloo processes does; started by test_processes.py."""
import sys
from pathlib import Path

import torch
from mmengine.runner import Runner
from tiny_training import CONFIG, options, read_config

from yolo_world_rep.engine import launch


def main(root: Path, out: Path) -> None:
    cfg = launch.config_for_training(
        read_config(),
        str(CONFIG),
        work_dir=str(out / 'work_dir'),
        cfg_options=options(root, train_batch_size_per_gpu=1, max_epochs=1),
        launcher='pytorch',
        cuda=False)
    # Plain descent: the step is the gradient, whatever its size.
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    cfg.default_hooks.param_scheduler = dict(type='ParamSchedulerHook')
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None

    steps = []

    class Recorder(launch.Runner):
        """Keeps each rank's batches and the parameters around a step."""

        def call_hook(self, fn_name: str, **kwargs) -> None:
            if fn_name in ('before_train_iter', 'after_train_iter'):
                model = self.model.module
                steps.append(
                    dict(
                        state={
                            k: v.clone()
                            for k, v in model.state_dict().items()
                        },
                        batch=kwargs['data_batch']))
            super().call_hook(fn_name, **kwargs)

    launch.start_processes(cfg, cuda=False)
    runner: Runner = Recorder.from_cfg(cfg)
    runner.train()
    torch.save(steps, out / f'rank{runner.rank}.pth')


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
