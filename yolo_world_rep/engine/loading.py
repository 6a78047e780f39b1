"""mmengine's checkpoints without mmengine's loader, which runs their code.

A training that goes on needs more than tensors: the few objects that mmengine
saves are made here, of what a file says of them and after it was checked.
"""
import logging
import os
import os.path as osp
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner
from torch import Tensor

from ..checkpoint_file import Name, Ordered, Record, budget_of
from ..reparam.checkpoint import read_content
from ..reparam.records import check_tensors
from ..utils.log import log

TRUST = '`trust=True` reads the file with torch, which runs its code'
# Of one part of a file, as a tree: it can name one list many times.
MAX_VALUES = 300_000
MAX_DEPTH = 40
SCALARS, ARRAYS = (
    tuple(f'numpy.{core}.multiarray.{name}' for core in ('core', '_core'))
    for name in ('scalar', '_reconstruct'))
KINDS = 'biuf'
# What a training goes on with.
TRAINING: Dict[str, Dict[str, type]] = dict(
    meta=dict(epoch=int, iter=int),
    message_hub=dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
    optimizer=dict(state=dict, param_groups=list))
# What torch's optimizers keep in the shape of a parameter; others may not.
AS_THE_PARAMETER = ('momentum_buffer', 'exp_avg', 'exp_avg_sq',
                    'max_exp_avg_sq', 'square_avg')
# What comes of a part that is not as mmengine saves it.
UNMADE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


class Unread:
    """A part of a checkpoint that cannot be made, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _dtype(record: Any) -> np.dtype:
    """A number's type in NumPy."""
    if isinstance(record, Record) and record.origin == 'numpy.dtype':
        args, state = record.args, record.state
        order = (state[1] if isinstance(state, tuple) and len(state) > 1
                 else '|')
        if isinstance(args, tuple) and args and isinstance(args[0], str) and (
                len(args[0]) < 4 and args[0][:1] in KINDS
                and args[0][1:] in ('1', '2', '4', '8')
                and order in ('<', '>', '|', '=')):
            return np.dtype(args[0]).newbyteorder(order)
    raise ValueError('an array of objects')


class Builder:
    """Makes the objects of one part of a checkpoint.

    Tensors go to ``device``; arrays may have ``budget`` bytes together. What
    mmengine does not save raises one of :data:`UNMADE`.
    """

    def __init__(self, device: Any, budget: int) -> None:
        self.device = device
        self.values = 0
        self.left = budget

    def build(self, value: Any, depth: int = 0) -> Any:
        """A value, with what is in it."""
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError('values without end')
        if isinstance(value, Tensor):
            return value if self.device is None else value.to(self.device)
        if value is None or type(value) in (bool, int, float, str, bytes):
            return value
        if type(value) in (list, tuple):
            return type(value)(self.build(each, depth + 1) for each in value)
        if isinstance(value, dict):
            kind = OrderedDict if isinstance(value, Ordered) else dict
            return kind((self.build(key, depth + 1),
                         self.build(each, depth + 1))
                        for key, each in value.items())
        return self.made(value, depth)

    def made(self, value: Any, depth: int) -> Any:
        """An object of another kind, if it is one that mmengine saves."""
        origin = value.origin
        if isinstance(value, Name):
            dtype = getattr(torch, origin.rpartition('.')[2], None)
            if isinstance(dtype, torch.dtype) and str(dtype) == origin:
                return dtype
        elif origin in SCALARS:
            dtype, data = value.args
            return self.array((), _dtype(dtype), data)[()]
        elif origin in ARRAYS:
            _, shape, dtype, fortran, data = value.state
            return self.array(shape, _dtype(dtype), data, bool(fortran))
        elif origin == 'mmengine.logging.history_buffer.HistoryBuffer':
            return self.history(value.state, depth)
        elif origin == 'collections.Counter':
            return Counter(self.build(value.args[0], depth + 1))
        raise ValueError(f'{origin[:80] or "an object"}')

    def array(self, shape: Any, dtype: np.dtype, data: Any,
              fortran: bool = False) -> np.ndarray:
        """An array of numbers."""
        if type(data) is not bytes or type(shape) is not tuple or any(
                type(size) is not int or size < 0 for size in shape):
            raise ValueError('a damaged array')
        self.left -= len(data)
        if self.left < 0:
            raise ValueError('arrays without end')
        flat = np.frombuffer(data, dtype)
        return flat.reshape(shape, order='F' if fortran else 'C').copy('K')

    def history(self, state: Any, depth: int) -> HistoryBuffer:
        """The history of one number in the log."""
        logs, counts, length = (
            self.build(state[name], depth + 1) for name in
            ('_log_history', '_count_history', 'max_length'))
        if not isinstance(logs, np.ndarray) or logs.ndim != 1 or (
                not isinstance(counts, np.ndarray)
                or counts.shape != logs.shape
                or type(length) is not int or length < 1):
            raise ValueError('a damaged HistoryBuffer')
        history = HistoryBuffer(max_length=length)
        history._log_history, history._count_history = logs, counts
        return history


def _weights(state_dict: Mapping[str, Tensor], path: str,
             device: Any) -> OrderedDict:
    """A state dict, with the versions of its modules, which torch reads."""
    check_tensors(Path(path), state_dict)
    found = OrderedDict((key, value if device is None else value.to(device))
                        for key, value in state_dict.items())
    state = getattr(state_dict, 'state', None)
    versions = state.get('_metadata') if isinstance(state, dict) else None
    found._metadata = OrderedDict(  # type: ignore[attr-defined]
        (key, dict(version=each['version']))
        for key, each in (versions.items() if isinstance(
            versions, dict) else ()) if isinstance(key, str)
        and isinstance(each, dict) and type(each.get('version')) is int)
    return found


def _meta(meta: Any, device: Any, budget: int) -> Dict[str, Any]:
    """A meta, without what cannot be made in it."""
    found = {}
    for key, value in meta.items() if isinstance(meta, dict) else ():
        # mmengine takes this one for a config, which is Python, and runs it.
        if key == 'config' or not isinstance(key, str):
            continue
        try:
            found[key] = Builder(device, budget).build(value)
        except UNMADE:
            continue
    return found


def _message_hub(hub: Any, path: str) -> None:
    """Forget files that a training would remove, but are not its own."""
    info = hub.get('runtime_info') if isinstance(hub, dict) else None
    folder = osp.dirname(osp.realpath(path))
    for key, value in list(info.items() if isinstance(info, dict) else ()):
        own = True
        if str(key).startswith('best_ckpt'):
            own = isinstance(value, str) and (
                osp.basename(value).startswith('best_')
                and osp.dirname(osp.realpath(value)) == folder)
        elif key == 'keep_ckpt_ids':
            own = isinstance(value, list) and all(
                type(each) is int for each in value)
        if not own:
            log(f'{path}: its {key} is not in its folder and is left aside',
                logging.WARNING)
            del info[key]


def content_for_mmengine(path: str, device: Any = None) -> Dict[str, Any]:
    """A checkpoint as mmengine's runner wants it. Nothing in it runs.

    A part that holds what mmengine does not save becomes an :class:`Unread`.
    ``device`` is where the tensors go.
    """
    content = read_content(path)
    budget = budget_of(osp.getsize(path))
    if 'state_dict' not in content:
        content = dict(state_dict=content)
    found: Dict[str, Any] = {}
    for key, value in content.items():
        if not isinstance(key, str):
            continue
        if key == 'state_dict' and not isinstance(value, dict):
            raise ValueError(f'{path} has no tensors under state_dict.')
        if key in ('state_dict', 'ema_state_dict') and isinstance(value, dict):
            found[key] = _weights(value, path, device)
        elif key == 'meta':
            found[key] = _meta(value, device, budget)
        else:
            try:
                found[key] = Builder(device, budget).build(value)
            except UNMADE as error:
                found[key] = Unread(str(error))
    _message_hub(found.get('message_hub'), path)
    return found


def require_training(checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse to go on with a checkpoint whose parts are not mmengine's.

    ``source`` is what the message calls it.
    """
    for key, value in checkpoint.items():
        if isinstance(value, Unread):
            raise ValueError(
                f'{source}: its {key} holds what mmengine does not save '
                f'there ({value.reason}), so that the training cannot go on '
                f'from it. {TRUST}: only for files that are your own.')
    for key, parts in TRAINING.items():
        whole = checkpoint.get(key)
        for name, kind in parts.items():
            part = whole.get(name) if isinstance(whole, dict) else None
            if not isinstance(part, kind):
                raise ValueError(f'{source} has no {key}.{name} as mmengine '
                                 f'saves it: the training cannot go on from '
                                 f'it.')


def optimizer_misfits(runner: Runner, state: Any) -> List[str]:
    """What torch would only notice at the first step, or never."""
    optimizer = getattr(getattr(runner, 'optim_wrapper', None), 'optimizer',
                        None)
    if optimizer is None:
        return []
    try:
        saved = [number for group in state['param_groups']
                 for number in group['params']]
        params = [param for group in optimizer.param_groups
                  for param in group['params']]
        return [
            f'{name} of shape {tuple(value.shape)} for a parameter of shape '
            f'{tuple(param.shape)}'
            for number, param in zip(saved, params)
            for name, value in state['state'].get(number, {}).items()
            if name in AS_THE_PARAMETER and value.shape != param.shape]
    except (AttributeError, KeyError, TypeError) as error:
        return [f'it is none ({error!r})']


def load_from_file(filename: str, map_location: Any = None) -> Dict[str, Any]:
    """What mmengine calls to load a checkpoint; see :func:`read_safely`.

    ``filename`` may be a URL, which is fetched to where torch keeps such.
    """
    scheme = filename.partition('://')[0] if '://' in filename else ''
    if scheme in ('http', 'https'):
        filename = _fetched(filename)
    elif scheme:
        raise ValueError(
            f'{filename}: checkpoints are read from files, http and https. '
            f'Get the file and name it; {TRUST}.')
    device = map_location if isinstance(
        map_location, (str, torch.device)) else None
    return content_for_mmengine(osp.expanduser(filename), device)


def _fetched(url: str) -> str:
    """A file of the network, once for all processes of a machine."""
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlparse(url).path) or 'checkpoint')
    rank, _ = get_dist_info()
    if rank == 0 and not osp.exists(path):
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(url, path, progress=False)
    barrier()
    return path


#: mmengine's own loaders, by the beginning of a name.
THEIRS: Dict[str, Callable[..., Any]] = {}


def read_safely(trust: bool = False) -> None:
    """Have mmengine load every checkpoint of this process through ours.

    ``trust`` puts its own loaders back, which run the code in a file.
    """
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if loader is not load_from_file:
            THEIRS[prefix] = loader
        CheckpointLoader.register_scheme(
            prefix, THEIRS[prefix] if trust else load_from_file, force=True)
