"""The guard with a small model and a runner that holds only what it reads."""
import json
from types import SimpleNamespace

import pytest
import torch
from builders import EFFICIENT, build_detector
from built_loop import Loop
from mmengine.model import BaseTTAModel
from torch import nn

from yolo_world_rep.engine import CheckpointGuardHook, ClassNamesHook

NAMES = ('cat', 'dog', 'cow')
TRAINING = dict(
    optimizer=dict(state={}, param_groups=[]),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}))
CONTRAST = 'bbox_head.head_module.cls_contrasts'


class Model(nn.Module):
    """Names of a detector, reparameterized unless told otherwise."""

    def __init__(self, classes=3, reparameterized=True):
        super().__init__()
        self.neck = nn.Linear(2, 2)
        self.bbox_head = nn.Module()
        self.bbox_head.num_classes = classes
        self.bbox_head.head_module = nn.Module()
        self.bbox_head.head_module.cls_contrasts = nn.ModuleList(
            [nn.Linear(4, classes)])
        self.reparameterized = reparameterized
        self.dataset_meta = None

    def test_step(self, data):
        """Asked for by the wrapper for augmentation in tests."""

    def checkpoint_allowances(self):
        return dict(missing=['extra'], unexpected=['backbone.text_model.'])


def make_runner(model=None, names=NAMES, train=True, resume=False, **more):
    loops = {
        '_train_loop': Loop(names) if train else dict(type='built later'),
        '_val_loop': Loop(names),
        '_test_loop': None
    }
    return SimpleNamespace(**{
        **loops, 'model': model or Model(),
        '_load_from': 'some.pth',
        '_resume': resume,
        'cfg': {},
        **more
    })


def make_checkpoint(model, classes=NAMES, **meta):
    return dict(
        state_dict={k: v.clone() for k, v in model.state_dict().items()},
        meta=dict(
            yolo_world_rep=dict(num_classes=len(classes), classes=classes),
            **meta))


def load(checkpoint, runner, **options):
    hook = CheckpointGuardHook(**options)
    hook.before_run(runner)
    hook.after_load_checkpoint(runner, checkpoint)
    return hook


def test_whole_checkpoint_passes_and_loses_its_wrapper_prefix():
    model = Model()
    checkpoint = make_checkpoint(model)
    checkpoint['state_dict'] = {
        f'module.{k}': v for k, v in checkpoint['state_dict'].items()
    }
    load(checkpoint, make_runner(model))
    # EMAHook loads after the guard, and strips nothing itself.
    assert checkpoint['state_dict'].keys() == model.state_dict().keys()


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_efficient_neck_loads_a_guided_checkpoint(form):
    """By a declared allowance: the user sets nothing."""
    guided, model = (build_detector(form, num_classes=3, block=block)
                     for block in (None, dict(type=EFFICIENT)))
    checkpoint = make_checkpoint(guided)
    load(checkpoint, make_runner(model))
    assert checkpoint['state_dict'].keys() == model.state_dict().keys()


def test_efficient_neck_of_the_first_version_is_named():
    model = build_detector(
        'rep_conv', num_classes=3, block=dict(type=EFFICIENT))
    checkpoint = make_checkpoint(model)
    for name in list(checkpoint['state_dict']):
        if '.attn_block.' in name:
            checkpoint['state_dict'].pop(name)
    with pytest.raises(ValueError, match='version 0.1 of this package') as no:
        load(checkpoint, make_runner(model))
    assert 'fresh' not in str(no.value)


def test_wrapped_models_are_compared_inside():
    class Tta(BaseTTAModel):

        def merge_preds(self, data_samples_list):
            return data_samples_list

    model = Model()
    runner = make_runner(Tta(model), train=False)
    load(make_checkpoint(model), runner)
    ClassNamesHook().before_run(runner)
    assert model.dataset_meta == dict(classes=NAMES)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda s: s.pop('neck.weight'), ['1 tensor(s) of the model are missing',
                                      'neck.weight', 'fresh=']),
    (lambda s: s.update({'old.layer': torch.ones(1)}),
     ['not in the model', 'old.layer', 'unused=[\'old.layer\']']),
    (lambda s: s.update({'neck.weight': torch.ones(2, 5)}),
     ['neck.weight is (2, 5) in it and (2, 2) in the model', 'some.pth']),
    (lambda s: s.update({f'{CONTRAST}.0.norm.weight': torch.ones(1)}),
     ['use_bn_head=True']),
    (lambda s: s.update({'x.guide_fc.weight': torch.ones(1)}),
     ['text-conditioned', 'yolo-world-rep fold some.pth']),
])
def test_what_does_not_fit_is_listed_with_a_remedy(change, words):
    model = Model()
    checkpoint = make_checkpoint(model)
    change(checkpoint['state_dict'])
    with pytest.raises(ValueError, match='does not fit') as caught:
        load(checkpoint, make_runner(model))
    for word in words:
        assert word in str(caught.value)


def test_model_says_what_may_differ_by_construction():
    model = Model()
    model.extra = nn.Parameter(torch.ones(1))
    checkpoint = make_checkpoint(model)
    del checkpoint['state_dict']['extra']
    checkpoint['state_dict']['backbone.text_model.w'] = torch.ones(1)
    load(checkpoint, make_runner(model))
    assert 'backbone.text_model.w' not in checkpoint['state_dict']


def test_named_parts_may_differ():
    model = Model()
    checkpoint = make_checkpoint(model)
    checkpoint['state_dict']['old.w'] = torch.ones(1)
    checkpoint['state_dict']['neck.weight'] = torch.ones(7)
    load(checkpoint, make_runner(model), fresh=['neck'], unused=['old'])
    assert not any(
        name.startswith(('neck', 'old')) for name in checkpoint['state_dict'])


def test_fresh_parts_are_not_for_resuming_or_testing():
    for runner in (make_runner(train=False), make_runner(resume=True)):
        checkpoint = make_checkpoint(runner.model, epoch=1, iter=2)
        checkpoint.update(TRAINING)
        load(checkpoint, runner, fresh=['neck'])
        assert 'neck.weight' in checkpoint['state_dict']
        del checkpoint['state_dict']['neck.weight']
        with pytest.raises(ValueError, match=r'neck\.weight'):
            load(checkpoint, runner, fresh=['neck'])


def test_fresh_that_names_nothing_is_refused():
    model = Model()
    with pytest.raises(ValueError, match='head_modul.*names nothing'):
        load(
            make_checkpoint(model),
            make_runner(model),
            fresh=['bbox_head.head_modul'])


def test_ema_copy_of_a_resumed_run_is_compared_too():
    model = Model()
    checkpoint = make_checkpoint(model, epoch=1, iter=2)
    averaged = {f'module.{k}': v for k, v in model.state_dict().items()}
    checkpoint.update(
        **TRAINING,
        ema_state_dict={'steps': torch.ones(()), **averaged})
    load(checkpoint, make_runner(model, resume=True))
    del checkpoint['ema_state_dict']['module.neck.bias']
    with pytest.raises(ValueError, match=r'EMA copy.*neck\.bias'):
        load(checkpoint, make_runner(model, resume=True))


def test_only_trainings_can_be_resumed():
    runner = make_runner(resume=True)
    with pytest.raises(ValueError, match='no optimizer.*meta.epoch') as caught:
        load(make_checkpoint(runner.model), runner)
    assert 'load_from' in str(caught.value)


def test_other_class_names_are_refused_with_the_differences():
    model = Model()
    swapped = make_checkpoint(model, classes=('dog', 'cat', 'cow'))
    with pytest.raises(ValueError, match='another order.*\'dog\' against'):
        load(swapped, make_runner(model))
    load(swapped, make_runner(model), class_names='ignore')
    load(swapped, make_runner(model), fresh=[CONTRAST])
    other = make_checkpoint(model, classes=('cat', 'dog', 'emu'))
    with pytest.raises(ValueError, match='emu.*only the latter has \'cow\''):
        load(other, make_runner(model))


def test_names_of_a_plain_training_checkpoint_count_too():
    model = Model()
    checkpoint = make_checkpoint(model)
    checkpoint['meta'] = dict(dataset_meta=dict(classes=('a', 'b', 'c')))
    with pytest.raises(ValueError, match='other classes'):
        load(checkpoint, make_runner(model))
    # A text-conditioned model was trained on whatever it was trained on.
    model = Model(reparameterized=False)
    load(checkpoint, make_runner(model))


def test_class_count_without_names():
    model = Model()
    checkpoint = make_checkpoint(model)
    checkpoint['meta']['yolo_world_rep'] = dict(num_classes=80, classes=None)
    with pytest.raises(ValueError, match=r'80 class\(es\).*num_classes=3'):
        load(checkpoint, make_runner(model))


def test_data_set_and_head_must_have_as_many_classes():
    with pytest.raises(ValueError, match=r'2 class\(es\).*num_classes=3'):
        CheckpointGuardHook().before_run(make_runner(names=('a', 'b')))


def test_labels_must_stand_for_the_names(tmp_path):
    # mmdet numbers labels in the order of the file, not of the names.
    path = tmp_path / 'a.json'
    path.write_text(
        json.dumps(
            dict(categories=[
                dict(id=i, name=n) for i, n in enumerate(('dog', 'cat', 'cow'))
            ])))
    runner = make_runner()
    runner._val_loop = Loop(NAMES, ann_file=str(path), cat_ids=[0, 1, 2])
    with pytest.raises(ValueError, match=r'a\.json.*another order'):
        CheckpointGuardHook().before_run(runner)
    runner._val_loop = Loop(('dog', 'cat', 'cow'), ann_file=str(path),
                            cat_ids=[0, 1, 2])
    runner._train_loop = Loop(('dog', 'cat', 'cow'), ann_file='not read',
                              cat_ids=[0, 1, 2])
    CheckpointGuardHook().before_run(runner)
    # A name that the file lacks moves all labels after it.
    runner._val_loop = Loop(('dog', 'yak', 'cow'), ann_file=str(path),
                            cat_ids=[0, 2])
    with pytest.raises(ValueError, match='only the latter has \'yak\''):
        CheckpointGuardHook().before_run(runner)
    # Not by names: the data set numbers its classes by itself.
    runner._val_loop = Loop(('x', 'y', 'z'), ann_file=str(path),
                            cat_ids=[0, 1, 2])
    CheckpointGuardHook().before_run(runner)


def test_variables_that_were_not_carried_on_end_the_run():
    runner = make_runner(cfg=dict(num_classes=3,
                                  derived_with=dict(num_classes=80)))
    with pytest.raises(ValueError, match='derived with 80.*rep train'):
        CheckpointGuardHook().before_run(runner)


def test_nothing_loaded_is_refused_for_reparameterized_models():
    runner = make_runner()
    for step in ('before_train', 'before_val', 'before_test'):
        with pytest.raises(ValueError, match='random weights'):
            getattr(CheckpointGuardHook(), step)(runner)
        getattr(CheckpointGuardHook(from_scratch=True), step)(runner)
        hook = load(make_checkpoint(runner.model), runner)
        getattr(hook, step)(runner)
    CheckpointGuardHook().before_train(
        make_runner(Model(reparameterized=False)))


@pytest.mark.parametrize('options', [
    dict(fresh='neck'), dict(unused=[1]), dict(class_names='maybe')
])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match='expected'):
        CheckpointGuardHook(**options)


def test_it_runs_before_the_ema_hook():
    assert CheckpointGuardHook.priority < 49
