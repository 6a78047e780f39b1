"""The process group of a training on CPUs, whatever launched it."""
import os
import subprocess
from datetime import timedelta
from shutil import which
from typing import Optional

import torch
from mmengine.config import Config


def start_processes(cfg: Config, cuda: Optional[bool] = None) -> None:
    """Make the process group where mmengine would ask CUDA for a device.

    ``env_cfg.dist_cfg.timeout`` is how many seconds a process waits for the
    others. ``cuda`` says whether there is a GPU; None asks torch.
    """
    from torch import distributed
    cuda = torch.cuda.is_available() if cuda is None else cuda
    if cfg.launcher == 'none' or cuda or distributed.is_initialized():
        return
    if cfg.launcher == 'slurm':
        _environment_of_slurm()
    missing = [name
               for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
               if name not in os.environ]
    if missing:
        how = ('srun, with MASTER_ADDR the host of the first task'
               if cfg.launcher == 'slurm' else 'tools/dist_train.sh, '
               'tools/dist_test.sh or torchrun')
        raise ValueError(f'`launcher` {cfg.launcher}: {", ".join(missing)} '
                         f'not in the environment; start with {how}')
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    seconds = settings.get('timeout')
    # torch 2.1 takes no None for its own default.
    timeout = dict(timeout=timedelta(seconds=seconds)) if seconds else {}
    distributed.init_process_group('gloo', **timeout)


def _environment_of_slurm() -> None:
    """torch's variables from those that srun sets, as mmengine has them."""
    for name, source in (('RANK', 'SLURM_PROCID'),
                         ('WORLD_SIZE', 'SLURM_NTASKS'),
                         ('LOCAL_RANK', 'SLURM_LOCALID')):
        if source in os.environ:
            os.environ[name] = os.environ[source]
    os.environ.setdefault('MASTER_PORT', '29500')
    nodes = os.environ.get('SLURM_NODELIST')
    if nodes and 'MASTER_ADDR' not in os.environ and which('scontrol'):
        os.environ['MASTER_ADDR'] = subprocess.run(
            ['scontrol', 'show', 'hostname', nodes],
            check=True, capture_output=True, text=True).stdout.split()[0]
