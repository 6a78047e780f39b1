"""Updates the values derived from changed variables of a config.

A config computes values from variables: ``train_cfg.max_epochs``, the epoch
that closes mosaic and the decay of the learning rate all come from
``max_epochs``. mmengine computes them once, in the file that states them, so
a child config or ``--cfg-options`` that sets the variable alone changes
nothing. Our configs keep the values they derived with in ``derived_with``;
:func:`resolve_variables` compares and does the rest. A value set by hand, to
something else than what was derived, stays.
"""
import copy
import os.path as osp
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

from mmengine.config import Config

from ..models.refused import REFUSED, refusal
from .bindings import BINDINGS, LOADERS

RECORD = 'derived_with'


def type_name(node: Any) -> str:
    """The ``type`` of a config dict without its scope, or ''."""
    kind = node.get('type', '') if isinstance(node, Mapping) else ''
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else ''


def find(node: Any, parts: Sequence[str],
         path: Tuple[str, ...] = ()) -> Iterator[Tuple[Any, Any, str]]:
    """(container, key, dotted path) of each place that a pattern names.

    ``parts`` is the pattern of a :class:`Binding`, split; ``path`` is where
    ``node``, a tree of dicts and lists, is. Classes of ours that stand in for
    others of mmyolo's, named ``Fast`` and theirs, are found by either name.
    """
    head, rest = parts[0], parts[1:]
    children = []
    if isinstance(node, Mapping):
        children = list(node.items())
    elif isinstance(node, (list, tuple)):
        children = list(enumerate(node))
    if head == '**':
        yield from find(node, rest, path)
        for key, child in children:
            yield from find(child, parts, (*path, str(key)))
    elif head.startswith('['):
        if type_name(node) in (head[1:-1], f'Fast{head[1:-1]}'):
            yield from find(node, rest, path)
    else:
        for key, child in children:
            if head not in ('*', str(key)):
                continue
            here = (*path, str(key))
            if rest:
                yield from find(child, rest, here)
            else:
                yield node, key, '.'.join(here)


def _plain(value: Any) -> Any:
    """For comparing: lists as tuples, dicts without their scope."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if k != '_scope_'}
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return value


def changed_variables(cfg: Mapping[str, Any]) -> List[str]:
    """Names of the variables that differ from what was derived with them."""
    record = cfg.get(RECORD) or {}
    return [name for name in record
            if name in cfg and _plain(cfg[name]) != _plain(record[name])]


def _gathered(paths: Sequence[str]) -> List[str]:
    """Paths with the same beginning and end as one, with their number."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for path in dict.fromkeys(paths):
        parts = path.split('.')
        groups.setdefault((parts[0], parts[-1]), []).append(path)
    return [found[0] if len(found) == 1 else f'{first}.….{last} ({len(found)})'
            for (first, last), found in groups.items()]


def resolve_variables(cfg: Config) -> Tuple[Config, List[str]]:
    """Update the values derived from changed variables.

    Args:
        cfg (Config): A config; not changed.

    Returns:
        tuple[Config, list[str]]: A copy where everything follows from the
        variables, and a sentence for each variable that had changed.
    """
    cfg = copy.deepcopy(cfg)
    changed = changed_variables(cfg)
    if not changed:
        return cfg, []
    tree = cfg._cfg_dict
    old = {name: tree[RECORD][name] for name in tree[RECORD]}
    new = {name: tree[name] for name in old if name in tree}
    touched: List[str] = []
    # A place follows from the first binding that explains its value: 79
    # classes and a padding are 80 guides again, which are not 80 classes.
    settled = set()
    for binding in BINDINGS:
        if not new.keys() >= set(binding.needs) or (
                set(binding.needs).isdisjoint(changed)):
            continue
        before = _plain(binding.value(old))
        after = binding.value(new)
        for container, key, path in find(tree, binding.where.split('.')):
            if path in settled or _plain(container[key]) != before:
                continue
            settled.add(path)
            if _plain(after) != before:
                # A list, as of --cfg-options, where transforms insist on a
                # tuple, becomes one.
                kind = type(container[key])
                container[key] = copy.deepcopy(
                    tuple(after) if kind is tuple else after)
                if isinstance(after, Mapping):
                    # Of the file it was written in, not of where it goes.
                    container[key].pop('_scope_', None)
                touched.append(path)
    notes = [f'{name}={_plain(tree[name])!r}, was {_plain(old[name])!r}'
             for name in changed]
    if touched:
        notes.append(f'carried on to {", ".join(_gathered(touched))}')
    for name in changed:
        tree[RECORD][name] = copy.deepcopy(tree[name])
    return cfg, notes


def _value(cfg: Any, path: str) -> Any:
    found = next(find(cfg, path.split('.')), None)
    return None if found is None else found[0][found[1]]


def refused_types(tree: Any) -> List[str]:
    """Classes of the original that a config names and that are not here."""
    named = {type_name(node) for node, _, _ in find(tree, ['**', 'type'])}
    return sorted(named & set(REFUSED))


def _disagreements(cfg: Any, title: str, remedy: str,
                   *paths: str) -> List[str]:
    values = {path: _value(cfg, path) for path in paths}
    values = {path: v for path, v in values.items() if v is not None}
    if len(set(values.values())) < 2:
        return []
    listed = ', '.join(f'{path}={value}' for path, value in values.items())
    return [f'{title} disagree: {listed}. {remedy}']


def check_config(cfg: Config) -> None:
    """Refuse a config whose parts contradict each other.

    Its variables are resolved. The ``ValueError`` names every contradiction
    and what to set.
    """
    tree = cfg._cfg_dict
    problems = [refusal(name) for name in refused_types(tree)]
    max_epochs = _value(tree, 'train_cfg.max_epochs')
    scheduler = _value(tree, 'default_hooks.param_scheduler')
    if type_name(scheduler) == 'YOLOv5ParamSchedulerHook' and max_epochs:
        # The default of mmyolo's hook, which few configs leave as it is.
        epochs = scheduler.get('max_epochs', 300)
        if epochs != max_epochs:
            problems.append(
                f'default_hooks.param_scheduler.max_epochs={epochs} and '
                f'train_cfg.max_epochs={max_epochs} disagree: the learning '
                f'rate would not end where it should, or turn negative. Set '
                f'both to the same number (max_epochs in our configs).')
    switch = 'custom_hooks.*.[PipelineSwitchHook].switch_epoch'
    for container, key, path in find(tree, switch.split('.')):
        if max_epochs and container[key] > max_epochs:
            problems.append(
                f'{path}={container[key]} is past '
                f'train_cfg.max_epochs={max_epochs}: mosaic would never be '
                f'closed. Set it to the epoch that closes mosaic '
                f'(close_mosaic_epochs in our configs), at most '
                f'{max_epochs}.')

    classes = 'model.bbox_head.head_module.num_classes'
    problems += _disagreements(
        tree, 'The numbers of classes of head and assigner',
        'Set them to the number of your classes (num_classes in our '
        'configs).', classes, 'model.train_cfg.assigner.num_classes')
    if _value(tree, 'model.reparameterized'):
        problems += _disagreements(
            tree, 'The numbers of classes of a reparameterized model',
            'Set num_classes.', classes, 'model.num_train_classes',
            'model.num_test_classes')
        problems += _disagreements(
            tree, 'The numbers of guides of a reparameterized neck',
            'Set them to the number of texts folded into the checkpoint.',
            'model.neck.guide_channels', 'model.neck.block_cfg.guide_channels')
        problems += _miscounted_names(tree, _value(tree, classes))
    problems += _other_ann_files(tree)
    if problems:
        raise ValueError(' '.join(problems))


def _miscounted_names(tree: Any, count: Optional[int]) -> Iterator[str]:
    """Data sets with another number of class names than the head has rows."""
    for loader in LOADERS if count is not None else ():
        for container, key, path in find(
                tree, [loader, '**', 'metainfo', 'classes']):
            names = container[key]
            if isinstance(names, str):
                names = () if osp.isfile(names) else (names, )
            if names and len(names) != count:
                yield (f'{path} has {len(names)} name(s) and the model '
                       f'num_classes={count}: set num_classes={len(names)}, '
                       f'or the names (class_names in our configs).')


def _other_ann_files(tree: Any) -> Iterator[str]:
    """Evaluators that read another annotation file than their data set."""
    for part in ('val', 'test'):
        evaluator = _value(tree, f'{part}_evaluator')
        dataset = _value(tree, f'{part}_dataloader.dataset')
        while isinstance(dataset, Mapping) and isinstance(
                dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']
        if (type_name(evaluator) not in (
                'CocoMetric', 'ExactCocoMetric', 'LVISMetric')
                or not isinstance(dataset, Mapping)
                or not evaluator.get('ann_file')
                or not dataset.get('ann_file')):
            continue
        ann_file = evaluator['ann_file']
        wanted = osp.join(dataset.get('data_root') or '', dataset['ann_file'])
        if osp.normpath(ann_file) != osp.normpath(wanted):
            yield (f'{part}_evaluator.ann_file={ann_file!r} is not the '
                   f'annotation file of {part}_dataloader, {wanted!r}: set '
                   f'both to the same file (data_root and val_ann_file in '
                   f'our configs).')


def unresolved_message(cfg: Mapping[str, Any]) -> str:
    """What to do about values that were not updated; '' if all were."""
    changed = changed_variables(cfg)
    if not changed:
        return ''
    listed = ', '.join(
        f'{name}={_plain(cfg[name])!r} (derived with '
        f'{_plain(cfg[RECORD][name])!r})' for name in changed)
    return (f'The config sets {listed} after other values were derived from '
            f'it. Run it with yolo-world-rep train or yolo-world-rep test of '
            f'yolo_world_rep, which carry it on, or call '
            f'yolo_world_rep.engine.resolve_variables(cfg).')
