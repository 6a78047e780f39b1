"""The process group of a training on CPUs, with any launcher."""
import os
import subprocess
from datetime import timedelta
from shutil import which
from typing import List, Optional

import torch
from mmengine.config import Config

from ..inference.backends.torchscript import require_device


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
               if cfg.launcher == 'slurm' else 'torchrun')
        raise ValueError(f'`launcher` {cfg.launcher}: {", ".join(missing)} '
                         f'not in the environment; start with {how}')
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    seconds = settings.get('timeout')
    # torch 2.1 takes no None for its own default.
    timeout = dict(timeout=timedelta(seconds=seconds)) if seconds else {}
    distributed.init_process_group('gloo', **timeout)


def take_devices(device: Optional[str]) -> List[str]:
    """The devices of ``--device``, each of which is there; one is used."""
    names = device.split(',') if device else []
    for name in names:
        require_device(name)
    if len(names) == 1 and 'cpu' not in names:
        torch.cuda.set_device(names[0])
    return names


def run_in_processes(names: List[str], words: List[str]) -> int:
    """Run a command with a process on each device, by torchrun; its status.
    """
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    here = visible.split(',') if visible else list(map(str, range(99)))
    if 'cpu' not in names:
        os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(
            here[torch.device(name).index or 0] for name in names)
    os.environ.pop('LOCAL_RANK', None)
    os.environ.setdefault('OMP_NUM_THREADS', '1')  # torchrun says so at length
    from torch.distributed.elastic.multiprocessing import api, errors
    from torch.distributed.run import main
    try:
        main(['--standalone', f'--nproc_per_node={len(names)}', '-m',
              'yolo_world_rep_cli', *words, '--launcher', 'pytorch'])
    except errors.ChildFailedError as error:
        return error.get_first_failure()[1].exitcode
    except api.SignalException as error:
        raise KeyboardInterrupt from error
    return 0


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
