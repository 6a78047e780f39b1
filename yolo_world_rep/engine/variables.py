"""Variables of a config, carried on to what was derived from them.

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
    Callable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Sequence,
    Tuple,
)

from mmengine.config import Config

RECORD = 'derived_with'

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
PIPELINES = LOADERS + ('custom_hooks', 'train_pipeline',
                       'train_pipeline_stage2', 'test_pipeline')


class Binding(NamedTuple):
    """A place in a config and how its value follows from variables.

    Args:
        where (str): Names with dots between; ``*`` is any key or index,
            ``**`` any depth, ``[Type]`` a dict of that ``type``.
        needs (tuple[str, ...]): Variables that ``value`` reads.
        value (Callable): Value from a mapping of the variables.
    """
    where: str
    needs: Tuple[str, ...]
    value: Callable[[Mapping[str, Any]], Any]


def _same(*places: str, name: str) -> List[Binding]:
    return [Binding(place, (name, ), lambda v: v[name]) for place in places]


def _switch_epoch(v: Mapping[str, Any]) -> int:
    return v['max_epochs'] - v['close_mosaic_epochs']


def _metainfo(v: Mapping[str, Any]) -> Any:
    names = v['class_names']
    if isinstance(names, str):
        # One class, or the file of names that mmengine would read.
        names = names if osp.isfile(names) else (names, )
    elif names:
        names = tuple(names)
    return dict(classes=names) if names else dict()


def _data_bindings(part: str, loader: str) -> List[Binding]:
    return [
        *_same(f'{loader}.**.data_root', name='data_root'),
        *_same(f'{loader}.**.ann_file', name=f'{part}_ann_file'),
        *_same(f'{loader}.**.data_prefix.img', name=f'{part}_data_prefix'),
        *_same(f'{loader}.**.class_text_path', name='class_text_path'),
        Binding(f'{loader}.**.metainfo', ('class_names', ), _metainfo),
    ]


def _worker_bindings(part: str, loader: str) -> List[Binding]:
    workers = f'{part}_num_workers'
    return [
        *_same(f'{loader}.num_workers', name=workers),
        Binding(f'{loader}.persistent_workers',
                ('persistent_workers', workers),
                lambda v: bool(v['persistent_workers'] and v[workers])),
    ]


BINDINGS: Tuple[Binding, ...] = (
    # Before the number of classes alone, for configs without padding.
    *(Binding(place, ('num_classes', 'num_padding'),
              lambda v: v['num_classes'] + v['num_padding'])
      for place in ('model.neck.guide_channels',
                    'model.neck.block_cfg.guide_channels')),
    *_same(
        'model.num_train_classes',
        'model.num_test_classes',
        'model.neck.guide_channels',
        'model.neck.block_cfg.guide_channels',
        'model.num_prompts',
        'model.bbox_head.head_module.num_guide',
        'model.bbox_head.head_module.num_classes',
        'model.train_cfg.assigner.num_classes',
        name='num_classes'),
    *_same('model.embedding_path', name='embedding_path'),
    *_same('model.backbone.text_model.model_name', name='text_model_name'),
    *_same('model.**.norm_cfg', name='norm_cfg'),
    # -- data
    *_data_bindings('train', 'train_dataloader'),
    *_data_bindings('val', 'val_dataloader'),
    *_data_bindings('val', 'test_dataloader'),
    *(Binding(f'{evaluator}.ann_file', ('data_root', 'val_ann_file'),
              lambda v: osp.join(v['data_root'], v['val_ann_file']))
      for evaluator in ('val_evaluator', 'test_evaluator')),
    *_worker_bindings('train', 'train_dataloader'),
    *_worker_bindings('val', 'val_dataloader'),
    *_worker_bindings('val', 'test_dataloader'),
    *_same(
        'val_dataloader.batch_size',
        'test_dataloader.batch_size',
        name='val_batch_size_per_gpu'),
    *_same(
        'train_dataloader.batch_size',
        'optim_wrapper.optimizer.batch_size_per_gpu',
        name='train_batch_size_per_gpu'),
    # -- schedule
    *_same(
        'train_cfg.max_epochs',
        'default_hooks.param_scheduler.max_epochs',
        name='max_epochs'),
    Binding('custom_hooks.*.[PipelineSwitchHook].switch_epoch',
            ('max_epochs', 'close_mosaic_epochs'), _switch_epoch),
    Binding('train_cfg.dynamic_intervals',
            ('max_epochs', 'close_mosaic_epochs', 'val_interval_stage2'),
            lambda v: [(max(_switch_epoch(v), 0), v['val_interval_stage2'])]),
    *_same(
        'train_cfg.val_interval',
        'default_hooks.checkpoint.interval',
        name='save_epoch_intervals'),
    *_same('default_hooks.param_scheduler.lr_factor', name='lr_factor'),
    *_same('optim_wrapper.optimizer.lr', name='base_lr'),
    *_same('optim_wrapper.optimizer.weight_decay', name='weight_decay'),
    # -- augmentation
    *(binding for root in PIPELINES for binding in (
        *_same(
            f'{root}.**.[Mosaic].img_scale',
            f'{root}.**.[MultiModalMosaic].img_scale',
            name='img_scale'),
        *_same(
            f'{root}.**.[YOLOv5KeepRatioResize].scale',
            f'{root}.**.[LetterResize].scale',
            name='img_scale'),
        Binding(f'{root}.**.[YOLOv5RandomAffine].border', ('img_scale', ),
                lambda v: tuple(-side // 2 for side in v['img_scale'])),
        Binding(f'{root}.**.[YOLOv5RandomAffine].scaling_ratio_range',
                ('affine_scale', ),
                lambda v: (1 - v['affine_scale'], 1 + v['affine_scale'])),
        *_same(
            f'{root}.**.[YOLOv5RandomAffine].min_area_ratio',
            name='min_area_ratio'),
        *_same(
            f'{root}.**.[LoadAnnotations].with_mask',
            f'{root}.**.[LoadAnnotations].mask2bbox',
            f'{root}.**.[YOLOv5RandomAffine].use_mask_refine',
            name='use_mask2refine'),
        *_same(
            f'{root}.**.[YOLOv5MixUp].prob',
            f'{root}.**.[YOLOv5MultiModalMixUp].prob',
            name='mixup_prob'),
        *_same(
            f'{root}.**.[RandomLoadText].max_num_samples', name='num_classes'),
        Binding(f'{root}.**.[RandomLoadText].num_neg_samples',
                ('num_classes', ), lambda v: (v['num_classes'], ) * 2),
        *_same(f'{root}.**.[YOLOv5CopyPaste].prob', name='copypaste_prob'),
    )),
)


def type_name(node: Any) -> str:
    """The ``type`` of a config dict without its scope, or ''."""
    kind = node.get('type', '') if isinstance(node, Mapping) else ''
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else ''


def find(node: Any,
         parts: Sequence[str],
         path: Tuple[str, ...] = ()) -> Iterator[Tuple[Any, Any, str]]:
    """The places that a pattern names.

    Args:
        node: A tree of dicts and lists.
        parts (Sequence[str]): The pattern of :class:`Binding`, split.
        path (tuple): Where ``node`` is.

    Yields:
        tuple: (container, key, dotted path); the value is
        ``container[key]``.
    """
    head, rest = parts[0], list(parts[1:])
    if isinstance(node, Mapping):
        children = list(node.items())
    else:
        children = list(enumerate(node)) if isinstance(node,
                                                       (list, tuple)) else []
    if head == '**':
        yield from find(node, rest, path)
        for key, child in children:
            yield from find(child, parts, (*path, str(key)))
    elif head.startswith('['):
        if type_name(node) == head[1:-1]:
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
    """Names of the variables that differ from what was derived with them.

    Args:
        cfg (Mapping): A config; one without a record has none.
    """
    record = cfg.get(RECORD) or {}
    return [
        name for name in record
        if name in cfg and _plain(cfg[name]) != _plain(record[name])
    ]


def resolve_variables(cfg: Config) -> Tuple[Config, List[str]]:
    """Carry changed variables on to what was derived from them.

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
    for binding in BINDINGS:
        if not set(binding.needs) <= new.keys() or not (
                set(binding.needs) & set(changed)):
            continue
        before = _plain(binding.value(old))
        after = binding.value(new)
        for container, key, path in find(tree, binding.where.split('.')):
            if (_plain(container[key]) == before
                    and _plain(after) != before):
                # A list, as of --cfg-options, where transforms insist on a
                # tuple, becomes one.
                kind = type(container[key])
                container[key] = copy.deepcopy(
                    tuple(after) if kind is tuple else after)
                if isinstance(after, Mapping):
                    # Of the file it was written in, not of where it goes.
                    container[key].pop('_scope_', None)
                touched.append(path)
    notes = [
        f'{name}={_plain(tree[name])!r}, was {_plain(old[name])!r}'
        for name in changed
    ]
    if touched:
        notes.append(f'carried on to {", ".join(dict.fromkeys(touched))}')
    for name in changed:
        tree[RECORD][name] = copy.deepcopy(tree[name])
    return cfg, notes


def _value(cfg: Any, path: str) -> Any:
    found = next(find(cfg, path.split('.')), None)
    return None if found is None else found[0][found[1]]


def _disagreements(cfg: Any, title: str, remedy: str,
                   *paths: str) -> List[str]:
    values = {path: _value(cfg, path) for path in paths}
    values = {path: v for path, v in values.items() if v is not None}
    if len(set(values.values())) < 2:
        return []
    listed = ', '.join(f'{path}={value}' for path, value in values.items())
    return [f'{title} disagree: {listed}. {remedy}']


def check_config(cfg: Config) -> None:
    """Refuse configs whose parts contradict each other.

    Args:
        cfg (Config): A config, its variables resolved.

    Raises:
        ValueError: With every contradiction and what to set.
    """
    tree = cfg._cfg_dict
    problems: List[str] = []
    max_epochs = _value(tree, 'train_cfg.max_epochs')
    scheduler = _value(tree, 'default_hooks.param_scheduler')
    if type_name(scheduler) == 'YOLOv5ParamSchedulerHook' and max_epochs:
        # The default of mmyolo's hook, which few configs leave as it is.
        if scheduler.get('max_epochs', 300) != max_epochs:
            problems.append(
                f'default_hooks.param_scheduler.max_epochs='
                f'{scheduler.get("max_epochs", 300)} and '
                f'train_cfg.max_epochs={max_epochs} disagree: the learning '
                f'rate would not end where it should, or turn negative. Set '
                f'both to the same number (max_epochs in our configs).')
    for container, _, path in find(
            tree, 'custom_hooks.*.[PipelineSwitchHook].switch_epoch'.split(
                '.')):
        if max_epochs and container['switch_epoch'] > max_epochs:
            problems.append(
                f'{path}={container["switch_epoch"]} is past '
                f'train_cfg.max_epochs={max_epochs}: mosaic would never be '
                f'closed. Set it to the epoch that closes mosaic '
                f'(close_mosaic_epochs in our configs), at most '
                f'{max_epochs}.')

    problems += _disagreements(
        tree, 'The numbers of classes of head and assigner',
        'Set them to the number of your classes (num_classes in our '
        'configs).', 'model.bbox_head.head_module.num_classes',
        'model.train_cfg.assigner.num_classes')
    if _value(tree, 'model.reparameterized'):
        problems += _disagreements(
            tree, 'The numbers of classes of a reparameterized model',
            'Set num_classes.', 'model.bbox_head.head_module.num_classes',
            'model.num_train_classes', 'model.num_test_classes')
        problems += _disagreements(
            tree, 'The numbers of guides of a reparameterized neck',
            'Set them to the number of texts folded into the checkpoint.',
            'model.neck.guide_channels', 'model.neck.block_cfg.guide_channels')
    count = _value(tree, 'model.bbox_head.head_module.num_classes')
    if _value(tree, 'model.reparameterized') and count is not None:
        for loader in LOADERS:
            for container, key, path in find(
                    tree, f'{loader}.**.metainfo.classes'.split('.')):
                names = container[key]
                if isinstance(names, str):
                    names = () if osp.isfile(names) else (names, )
                if names and len(names) != count:
                    problems.append(
                        f'{path} has {len(names)} name(s) and the model '
                        f'num_classes={count}: set num_classes='
                        f'{len(names)}, or the names (class_names in our '
                        f'configs).')

    for part in ('val', 'test'):
        evaluator = _value(tree, f'{part}_evaluator')
        dataset = _value(tree, f'{part}_dataloader.dataset')
        while isinstance(dataset, Mapping) and isinstance(
                dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']
        if (type_name(evaluator) not in ('CocoMetric', 'LVISMetric')
                or not isinstance(dataset, Mapping)):
            continue
        ann_file = evaluator.get('ann_file')
        if not ann_file or not dataset.get('ann_file'):
            continue
        wanted = osp.join(dataset.get('data_root') or '', dataset['ann_file'])
        if osp.normpath(ann_file) != osp.normpath(wanted):
            problems.append(
                f'{part}_evaluator.ann_file={ann_file!r} is not the '
                f'annotation file of {part}_dataloader, {wanted!r}: set '
                f'both to the same file (data_root and val_ann_file in our '
                f'configs).')
    if problems:
        raise ValueError(' '.join(problems))


def unresolved_message(cfg: Mapping[str, Any]) -> str:
    """What to do about variables that were not carried on; '' if all were."""
    changed = changed_variables(cfg)
    if not changed:
        return ''
    listed = ', '.join(
        f'{name}={_plain(cfg[name])!r} (derived with '
        f'{_plain(cfg[RECORD][name])!r})' for name in changed)
    return (f'The config sets {listed} after other values were derived from '
            f'it. Run it with tools/train.py or tools/test.py of '
            f'yolo_world_rep, which carry it on, or call '
            f'yolo_world_rep.engine.resolve_variables(cfg).')
