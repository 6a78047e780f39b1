"""A checkpoint is loaded whole, or the run ends before its first step."""
import logging
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmyolo.registry import HOOKS

from ...config.variables import unresolved_message
from ...detector.remedies import mend_of_names, remedies
from ...registry import register
from ...reparam import META_KEY, description_of
from ...reparam.fit import Fit, compare, describe, groups, under
from ...reparam.neck_forms import in_form_of
from ...reparam.original_checkpoints import read_as_ours
from ...reparam.state_dict import strip_wrapper
from ...reparam.tensor_checks import check_weights
from ...text.names import (
    Names,
    annotation_names,
    name_differences,
    names_of_checkpoint,
)
from ...utils.log import log
from ...utils.wording import command, some
from ..loading import optimizer_misfits, require_training
from ..masks import count_masks, takes_boxes_from_masks
from .class_names_hook import data_sets, unwrapped

# The tensors of a reparameterized head that hold one row per class.
CLASS_TENSORS = 'bbox_head.head_module.cls_contrasts'
RESTART = 'To start a training from it set load_from, without `resume=True`.'
OPTION = 'default_hooks=dict(checkpoint_guard=dict({}))'


def _prefixes(name: str, value: Sequence[str]) -> Tuple[str, ...]:
    if isinstance(value, str) or not all(
            isinstance(prefix, str) and prefix for prefix in value):
        raise ValueError(f'CheckpointGuardHook: {name}={value!r}: expected a '
                         f'list of names of modules or tensors')
    return tuple(value)


def _rows(model: nn.Module) -> Optional[int]:
    """Classes that a model's head has rows for, None if it does not say."""
    return getattr(getattr(model, 'bbox_head', None), 'num_classes', None)


def _beginnings(names: Iterable[str], depth: int) -> List[str]:
    return sorted({'.'.join(name.split('.')[:depth]) for name in names})[:3]


@register(HOOKS)
class CheckpointGuardHook(Hook):
    """Refuse checkpoints and data sets that do not fit the model.

    mmengine loads a checkpoint with ``strict=False``: what does not fit is
    logged and stays random. This hook compares names and shapes of all
    tensors, the class names and the class counts before anything is loaded.

    Args:
        fresh (Sequence[str]): Names of modules or tensors of the model that a
            training starts from their initialization, not from the checkpoint.
            Resuming and testing load them.
        unused (Sequence[str]): Names of modules or tensors in the checkpoint
            that the model does not have.
        class_names (str): ``'match'`` or ``'ignore'``: whether the
            checkpoint's class names must be those of the data. They need not
            be when the rows of the head that stand for them are ``fresh``.
        from_scratch (bool): Whether a reparameterized model may train or
            test without a checkpoint.

    Raises:
        ValueError: From the hook points, before the first step: with the
            differences and what to set.
    """

    # Before EMAHook (49), which loads the checkpoint into its own copy.
    priority = 40

    def __init__(self, fresh: Sequence[str] = (), unused: Sequence[str] = (),
                 class_names: str = 'match',
                 from_scratch: bool = False) -> None:
        if class_names not in ('match', 'ignore'):
            raise ValueError(
                f'CheckpointGuardHook: class_names={class_names!r}: expected '
                f'\'match\' or \'ignore\'')
        self.fresh = _prefixes('fresh', fresh)
        self.unused = _prefixes('unused', unused)
        self.class_names = class_names
        self.from_scratch = from_scratch
        self._loaded = False

    def before_run(self, runner: Runner) -> None:
        """Check the data sets against each other and against the head."""
        model = unwrapped(runner.model)
        count = _rows(model)
        stale = unresolved_message(runner.cfg)
        problems = [stale] if stale else []
        checked: Dict[Names, List[int]] = {}
        for loop, dataset, names in reversed(list(data_sets(runner))):
            problems += self._check_masks(loop, dataset)
            if names is None:
                continue
            if getattr(model, 'reparameterized', False) and (
                    count not in (None, len(names))):
                problems.append(
                    f'The {loop} data set has {len(names)} class(es) and the '
                    f'head num_classes={count}: set num_classes={len(names)} '
                    f'in the config, or metainfo=dict(classes=...) of the '
                    f'data set.')
            # Reading the names takes long for a large annotation file, and
            # the same ids as in a file already read mean the same names.
            ids = getattr(dataset, 'cat_ids', None)
            if ids is None or checked.get(names) == ids:
                continue
            real = annotation_names(dataset) or ()
            difference = name_differences(real, names)
            # Data sets such as LVIS number their classes by themselves,
            # whatever the file calls them.
            if difference and real and set(real) <= set(names):
                problems.append(
                    f'The annotation file {dataset.ann_file} of the {loop} '
                    f'data set and its metainfo classes disagree, so labels '
                    f'would stand for other names: {difference}. Set '
                    f'metainfo=dict(classes=...) (class_names in our '
                    f'configs) to names of the file, in its order.')
            checked[names] = list(ids)
        if problems:
            raise ValueError(' '.join(problems))

    @staticmethod
    def _check_masks(loop: str, dataset: Any) -> List[str]:
        """A pipeline that takes boxes from masks drops those without."""
        if not takes_boxes_from_masks(dataset):
            return []
        masked, bare = count_masks(dataset)
        remedy = ('set mask2bbox, with_mask and use_mask_refine of the '
                  'pipelines to False (use_mask2refine=False in our configs)')
        if bare and not masked:
            return [f'The pipeline of the {loop} data set takes its boxes '
                    f'from masks, and the {bare} boxes looked at have none: '
                    f'it would train on images without boxes; {remedy}.']
        if bare:
            log(f'{bare} of {bare + masked} boxes looked at in the {loop} '
                f'data set have no mask, and the pipeline, which takes its '
                f'boxes from masks, leaves them out; to keep them, {remedy}.',
                logging.WARNING)
        return []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint and leave in it only what will be loaded."""
        model = unwrapped(runner.model)
        training = isinstance(getattr(runner, '_train_loop', None), BaseLoop)
        resuming = training and bool(getattr(runner, '_resume', False))
        source = f'Checkpoint {runner._load_from or ""}'.rstrip()
        meta = checkpoint.get('meta') or {}
        if 'state_dict' not in checkpoint:
            # mmengine takes such a file for a bare state dict.
            checkpoint['state_dict'] = {name: checkpoint.pop(name)
                                        for name in list(checkpoint)
                                        if hasattr(checkpoint[name], 'shape')}
        if resuming:
            absent = [name for name in ('optimizer', 'message_hub')
                      if name not in checkpoint]
            absent += [f'meta.{name}' for name in ('epoch', 'iter')
                       if name not in meta]
            if absent:
                raise ValueError(
                    f'{source} has no {", ".join(absent)}: it is not of a '
                    f'training that can be resumed. {RESTART}')
            require_training(checkpoint, source)

        fresh = self.fresh if training and not resuming else ()
        others = self._compare_classes(runner, model, checkpoint, fresh,
                                       source)
        problems = self._select(checkpoint, model, fresh, source,
                                runner._load_from, resuming, bool(others))
        if resuming and 'ema_state_dict' in checkpoint:
            averaged = strip_wrapper(checkpoint['ema_state_dict'])
            averaged.pop('steps', None)
            fit = compare(averaged, model.state_dict())
            if not fit:
                problems.append(f'{source} does not fit in its EMA copy: '
                                f'{" ".join(describe(fit))} {RESTART}')
        problems += others
        if resuming:
            misfits = optimizer_misfits(runner, checkpoint['optimizer'])
            if misfits:
                problems.append(f'{source} does not fit in the state of its '
                                f'optimizer: {some(misfits)}. {RESTART}')
        if problems:
            raise ValueError(' '.join(problems))
        self._loaded = True

    def before_train(self, runner: Runner) -> None:
        """A reparameterized model does not train from random weights."""
        self._require_loaded(runner, 'training')

    def before_val(self, runner: Runner) -> None:
        """A reparameterized model is not evaluated with random weights."""
        self._require_loaded(runner, 'validation')

    def before_test(self, runner: Runner) -> None:
        """A reparameterized model is not tested with random weights."""
        self._require_loaded(runner, 'test')

    def _require_loaded(self, runner: Runner, what: str) -> None:
        model = unwrapped(runner.model)
        if (self._loaded or self.from_scratch
                or not getattr(model, 'reparameterized', False)):
            return
        raise ValueError(
            f'No checkpoint was loaded: the {what} of a reparameterized '
            f'model would start from random weights. Set '
            f'load_from=\'..._rep_conv.pth\', a file that '
            f'yolo-world-rep reparameterize wrote, or, if random '
            f'weights are meant, {OPTION.format("from_scratch=True")}.')

    def _select(self, checkpoint: dict, model: nn.Module,
                fresh: Sequence[str], source: str, path: str,
                resuming: bool, others: bool) -> List[str]:
        """Reduce ``checkpoint['state_dict']`` to what may be loaded.

        ``others`` says that the file has other classes, whose rows do not fit.
        """
        meta = checkpoint.get('meta') or {}
        state, notes = read_as_ours(
            strip_wrapper(checkpoint['state_dict']), meta)
        for note in notes:
            log(f'{source}: {note}.', logging.WARNING)
        check_weights(source, state)
        wanted = model.state_dict()
        state, note = in_form_of(state, wanted)
        if note and resuming:
            raise ValueError(f'{source}: {note}, but the state of its '
                             f'optimizer is of the tensors stored. {RESTART}')
        if note:
            log(f'{source}: {note}.')
        problems = []
        idle = [p for p in fresh if not any(under(n, [p]) for n in wanted)]
        if idle:
            problems.append(
                f'fresh={list(idle)!r} names nothing in the model: expected '
                f'names as in its state dict, such as {CLASS_TENSORS!r}.')

        allowances = getattr(model, 'checkpoint_allowances', dict)()
        may_miss = tuple(allowances.get('missing', ())) + tuple(fresh)
        may_bring = tuple(allowances.get('unexpected', ())) + self.unused
        dropped = [name for name in state if under(name, fresh) or (
            name not in wanted and under(name, may_bring))]
        whole = state
        state = {name: t for name, t in state.items() if name not in dropped}
        fit = compare(state, {name: tensor for name, tensor in wanted.items()
                              if name in state or not under(name, may_miss)})
        # mmengine and EMAHook load what is left here.
        checkpoint['state_dict'] = state
        left = [name for name in wanted if under(name, fresh)]
        for title, names in (('Not taken from the checkpoint', dropped),
                             ('Left at their initialization', left)):
            if names:
                log(f'{title}: {", ".join(groups(names))}')
        rows = set(description_of(state).row_axes) if others else ()
        if fit.missing or fit.unexpected or any(
                name not in rows for name, _, _ in fit.misshapen):
            problems += [f'{source} does not fit the model.',
                         *self._remedies(fit, model, whole, meta, path),
                         *describe(fit)]
        return problems

    @staticmethod
    def _remedies(fit: Fit, model: nn.Module, state: dict, meta: dict,
                  path: str) -> List[str]:
        found = remedies(fit, model, state, meta, path)
        rows = [name for name, _, _ in fit.misshapen]
        if rows and not fit.missing and not fit.unexpected and all(
                under(name, [CLASS_TENSORS]) for name in rows):
            found.append('To train new rows of the head instead: '
                         + OPTION.format(f'fresh=[{CLASS_TENSORS!r}]') + '.')
        if found:
            return found
        absent = [*fit.missing, *rows]
        if absent:
            option = OPTION.format(f'fresh={_beginnings(absent, 3)!r}')
            found.append(f'Set load_from to a file that fits or the '
                         f'config to what it holds; to train parts from '
                         f'their initialization, name them: {option}.')
        if fit.unexpected:
            option = OPTION.format(f'unused={_beginnings(fit.unexpected, 2)}')
            found.append(f'To leave parts of the file out, name them: '
                         f'{option}.')
        return found

    def _compare_classes(self, runner: Runner, model: nn.Module,
                         checkpoint: dict, fresh: Sequence[str],
                         source: str) -> List[str]:
        """Class names and count of a folded checkpoint against the data."""
        meta = checkpoint.get('meta') or {}
        folded = meta.get(META_KEY) or {}
        speaks = folded or (getattr(model, 'reparameterized', False)
                            and meta.get('dataset_meta'))
        rows = [n for n in model.state_dict() if under(n, [CLASS_TENSORS])]
        found = description_of(checkpoint['state_dict'])
        if (not speaks or found.contrasts or self.class_names == 'ignore'
                or (rows and all(under(n, fresh) for n in rows))):
            return []
        names = names_of_checkpoint(meta, found.classes)
        problems, remedy = [], ''
        count = _rows(model)
        stated = folded.get('num_classes')
        if stated is None and names is not None:
            stated = len(names)
        for loop, data, wanted in data_sets(runner):
            if names is None or wanted is None:
                continue
            difference = name_differences(names, wanted)
            if difference:
                problems.append(f'{source} and the {loop} data set have '
                                f'other classes: {difference}.')
                remedy = mend_of_names(names, wanted, folded,
                                       runner._load_from)
                both = [name for name in names if name in wanted]
                images = (getattr(data, 'data_prefix', None) or {}).get('img')
                if loop == 'test' and both and images:
                    remedy += ' To evaluate it as it is: ' + command(
                        'evaluate', runner._load_from, data.ann_file, images,
                        '--only', *both) + '.'
        agree = stated is None or count is None or stated == count
        if not problems and not agree:
            problems.append(f'{source} has {stated} class(es) and the head '
                            f'num_classes={count}.')
        if problems:
            problems.append(remedy or 'Set num_classes and load_from to what '
                            'belongs together.')
        if problems and agree:
            keep = OPTION.format('class_names=\'ignore\'')
            train = OPTION.format(f'fresh=[{CLASS_TENSORS!r}]')
            problems.append(f'If the classes may differ: {keep} keeps the '
                            f'rows, {train} trains new ones.')
        return problems
