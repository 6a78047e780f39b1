"""Settings that override those of a config."""
import copy
import difflib
import inspect
from typing import Any, Mapping, Optional

from mmengine.config import Config
from mmengine.runner import Runner

# What a runner, its configs and our launcher read besides its parameters.
READ = ('activation_checkpointing', 'compile', 'custom_imports',
        'efficient_conv_bn_eval', 'find_unused_parameters',
        'model_wrapper_cfg', 'runner_type', 'sync_bn', 'tta_model',
        'tta_pipeline')
# How like a known name one is that was meant to be it.
ALIKE = 0.8


def _check(cfg: Config, key: str) -> None:
    node: Any = cfg._cfg_dict
    known = {*inspect.signature(Runner.__init__).parameters, *READ, *node}
    for depth, part in enumerate(key.split('.')):
        if not isinstance(node, Mapping):
            return  # a list, or a value that becomes a dict
        names = node if depth else known
        near = difflib.get_close_matches(part, names, 1, ALIKE)
        if part not in names and (near or not depth):
            where = '.'.join(key.split('.')[:depth])
            raise ValueError(
                f'`cfg_options` {key}: {where or "the config"} has no {part}' +
                (f', but {near[0]}.' if near else ', and nothing reads it.'))
        node = node.get(part)


def with_options(cfg: Config, options: Optional[Mapping[str, Any]]) -> Config:
    """A copy of a config with settings overridden, by their dotted keys.

    A ``ValueError`` names a key that nothing reads, or that looks like a
    misspelling of one that is there.
    """
    cfg = copy.deepcopy(cfg)
    for key in options or ():
        _check(cfg, key)
    cfg.merge_from_dict(dict(options or {}))
    return cfg
