"""What a user is told of a file that does not fit: the shortest mend."""
import copy
import logging
import re
from types import SimpleNamespace

import pytest
import torch
from builders import build_detector, detector_cfg, randomize
from built_loop import Loop
from mmengine.config import ConfigDict
from mmyolo.registry import MODELS
from original_files import PRETRAINED, checkpoint, folded_tensors

from yolo_world_rep.engine import CheckpointGuardHook, FoldedMetaHook
from yolo_world_rep.engine.hooks import checkpoint_guard_hook

NAMES = tuple('abcde')
SMALL = dict(
    num_classes=5,
    embed_dims=32,
    deepen_factor=0.01,
    last_stage_out_channels=512,
    embed_channels=(128, 256, 256),
    num_heads=(8, 16, 16))


def detector(form='rep_conv', **changes):
    return build_detector(form, **{**SMALL, **changes})


def encoder_detector():
    """A detector that encodes texts, as public configs have it."""
    cfg = detector_cfg('text', **SMALL)
    for key in ('reparameterized', 'prompt_dim', 'num_prompts'):
        del cfg[key]
    return MODELS.build(ConfigDict(cfg, type='YOLOWorldDetector'))


def original(form='rep_conv', names=PRETRAINED, text=None, **changes):
    """A file that the original folded."""
    model = randomize(detector('text', **changes))
    text = torch.randn(5, 32) if text is None else text
    return checkpoint(folded_tensors(model.state_dict(), text, form), names)


def guard(model, file, names=NAMES, resume=False, **options):
    """What a training would say of the file; '' if it loads it whole."""
    runner = SimpleNamespace(
        model=model,
        cfg={},
        _train_loop=Loop(names),
        _load_from='some.pth',
        _resume=resume)
    file = copy.copy(file)
    try:
        CheckpointGuardHook(**options).after_load_checkpoint(runner, file)
    except ValueError as error:
        return str(error)
    model.load_state_dict(file['state_dict'], strict=False)
    return ''


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_files_of_the_original_load_as_they_are(form, monkeypatch):
    said = []
    # mmengine's logger leaves out what it has just said.
    monkeypatch.setattr(checkpoint_guard_hook, 'log',
                        lambda text, level=0: said.append((level, text)))
    # 365 names, an optimizer, an average, the matrix form, and prompts that
    # its converter leaves behind.
    file = original(form)
    assert 'embeddings' in file['state_dict']
    assert guard(detector(form), file) == ''
    warnings = [text for level, text in said if level == logging.WARNING]
    assert [text for text in warnings if 'names 365 classes' in text] == [
        'Checkpoint some.pth: its dataset_meta names 365 classes and its '
        'head has 5 row(s): that list, of the pre-training as a rule, says '
        'nothing about the rows and is left aside.']
    assert (form == 'rep_linear') == ('(N, d, M)' in ' '.join(warnings))


def test_a_folded_file_has_no_training_to_resume():
    # Optimizer and average in it are of the model before.
    file = original()
    model = detector()
    before = detector('text').state_dict()
    file['ema_state_dict'].update({f'module.{k}': v for k, v in
                                   before.items()})
    file['message_hub'] = dict(log_scalars={}, runtime_info={},
                               resumed_keys={})
    said = guard(model, file, resume=True)
    assert 'does not fit in its EMA copy' in said
    assert said.endswith(
        ' To start a training from it set load_from, without `resume=True`.')


def test_names_of_the_rows_still_count():
    file = original(names=tuple('abcdf'))
    assert '\'f\'; only the latter has \'e\'' in guard(detector(), file)
    assert guard(detector(), file, class_names='ignore') == ''


NOT_FOLDED = ('The file is text-conditioned and the model is folded: load the '
              'file that comes of folding your classes into it, as by '
              'yolo-world-rep fold some.pth ')
# What a user has, the model, and what the guard says before its list.
CASES = {
    'a wider branch': (
        lambda: original(pretrain_classes=365), lambda: detector(),
        'The class branch of the file is 365 channels wide and the model\'s '
        '80, as its width followed the number of classes: set model.'
        'bbox_head.head_module.pretrain_classes=365.'),
    'a wider branch, text-conditioned': (
        lambda: checkpoint(detector('text', pretrain_classes=1203)
                           .state_dict()), lambda: detector('text'),
        'The class branch of the file is 1203 channels wide and the model\'s '
        '80, as its width followed the number of classes: set model.'
        'bbox_head.head_module.pretrain_classes=1203.'),
    'another number of classes': (
        lambda: original(), lambda: detector(num_classes=7),
        'The file is folded for 5 class(es) and 5 guides and the model for 7 '
        'and 7: set num_classes=5, num_padding=0 and class_names to use its '
        'rows; fold other names into the text-conditioned checkpoint that '
        'the file was folded from, with yolo-world-rep fold.'),
    'another text width, folded': (
        lambda: original(embed_dims=48, text=torch.randn(5, 48)),
        lambda: detector(),
        'The file takes texts of width 48 and the model of 32: set model.'
        'bbox_head.head_module.embed_dims=48, and model.neck.guide_channels '
        'where the neck takes texts (text_channels=48 in our configs).'),
    'another size': (
        lambda: original(widen_factor=0.25, num_heads=(4, 4, 4)),
        lambda: detector(widen_factor=0.5, num_heads=(4, 4, 4)),
        'The file is of size n and the model of size s: take a config of '
        'the size of the file.'),
    'not folded yet': (
        lambda: checkpoint({
            name: tensor for name, tensor in detector('text').state_dict()
            .items() if name != 'embeddings'}), lambda: detector(),
        NOT_FOLDED + '--words cat dog.'),
    'tuned prompts, not folded yet': (
        lambda: checkpoint(detector('text').state_dict()),
        lambda: detector('rep_linear'),
        NOT_FOLDED + '--text-embed checkpoint.'),
    'not folded yet, for the head alone': (
        lambda: checkpoint(detector('text').state_dict()),
        lambda: detector('text_neck'),
        NOT_FOLDED + '--head-only --text-embed checkpoint.'),
    'the head alone': (
        lambda: checkpoint(detector('text_neck').state_dict(), NAMES),
        lambda: detector(),
        'The head alone is folded in the file, and the model\'s neck is '
        'folded too: fold its source again as a whole, with '
        'yolo-world-rep reparameterize.'),
    'folded already': (
        lambda: original(), lambda: detector('text'),
        'The file is folded and the model takes texts: give a config of a '
        'folded model (yolo-world-rep new-config writes one), or the '
        'text-conditioned checkpoint that the file was folded from.'),
    'no prompts': (
        lambda: checkpoint({
            name: tensor for name, tensor in detector('text').state_dict()
            .items() if name != 'embeddings'}), lambda: detector('text'),
        'The file has no prompts: set model.embedding_path to a file of '
        'yolo-world-rep embed.'),
    'another number of prompts': (
        lambda: checkpoint(detector('text').state_dict()),
        lambda: detector('text', num_prompts=7),
        'The file has 5 prompts of width 32: set model.num_prompts=5, model.'
        'prompt_dim=32 and num_classes=5.'),
    'prompts for an encoder': (
        lambda: checkpoint(detector('text').state_dict()),
        lambda: encoder_detector(),
        'The file has 5 prompts of width 32: set model.type='
        '\'SimpleYOLOWorldDetector\', model.num_prompts=5, model.prompt_dim='
        '32 and num_classes=5.'),
    'an adapter': (
        lambda: checkpoint(detector('text', use_mlp_adapter=True)
                           .state_dict()), lambda: detector('text'),
        'The prompts of the file have an adapter: set model.use_mlp_adapter='
        'True.'),
    'v1 for v2, text-conditioned': (
        lambda: checkpoint(detector('text', use_bn_head=False).state_dict()),
        lambda: detector('text'),
        'The head of the file is of the L2 form (v1): set model.bbox_head.'
        'head_module.use_bn_head=False.'),
    'v2 for v1, text-conditioned': (
        lambda: checkpoint(detector('text').state_dict()),
        lambda: detector('text', use_bn_head=False),
        'The head of the file is of the batch-norm form (v2): set model.'
        'bbox_head.head_module.use_bn_head=True.'),
}


@pytest.mark.parametrize('case', CASES)
def test_the_guard_names_the_mend(case):
    file, model, mend = CASES[case]
    said = guard(model(), file())
    start = f'Checkpoint some.pth does not fit the model. {mend} '
    assert said.startswith(start)
    assert re.match(r'\d+ tensor\(s\) ', said[len(start):])
    assert 'fresh=' not in said


@pytest.mark.parametrize(('case', 'changes'), [
    ('a wider branch', {'bbox_head.head_module.pretrain_classes': 365}),
    ('another text width, folded', {'bbox_head.head_module.embed_dims': 48}),
])
def test_with_the_mend_the_file_loads(case, changes):
    # What the message says, in the config of the model that refused.
    cfg = ConfigDict(detector_cfg('rep_conv', **SMALL))
    for path, value in changes.items():
        *nodes, key = path.split('.')
        node = cfg
        for name in nodes:
            node = node[name]
        assert f'{key}={value!r}' in CASES[case][2]
        node[key] = value
    assert guard(MODELS.build(cfg), CASES[case][0]()) == ''


def folded_here(names, **about):
    """A file of this package."""
    state = detector(num_classes=len(names)).state_dict()
    return dict(
        state_dict=state,
        meta=dict(
            yolo_world_rep=dict(
                num_classes=len(names), classes=names, **about)))


@pytest.mark.parametrize(('file', 'mend'), [
    (folded_here(tuple('bacde'), text_layers=dict(a=1)),
     'For the classes of the data take what this writes: '
     'yolo-world-rep edit some.pth --out some_own.pth --order a b c d e.'),
    (folded_here(tuple('xbacd'), text_layers=dict(a=1)),
     'For the classes of the data take what this writes: '
     'yolo-world-rep edit some.pth --out some_own.pth --keep b a c d '
     '--add-words e --order a b c d e.'),
    (folded_here(tuple('vwxyz'), text_layers=dict(a=1)),
     'For the classes of the data take what this writes: '
     'yolo-world-rep edit some.pth --out some_own.pth --replace-words a b c '
     'd e.'),
    (folded_here(tuple('bacde')), 'Set class_names (metainfo=dict(classes='
     '...) of the data sets) and the categories of the annotation files to '
     'the order of the checkpoint.'),
    (folded_here(tuple('vwxyz')), 'To load classes of the data, fold other '
     'names into the text-conditioned checkpoint that the file was folded '
     'from, with yolo-world-rep fold, and set load_from.'),
], ids=['in order', 'some', 'replaced', 'order', 'folded again'])
def test_other_names(file, mend):
    said = guard(detector(), file)
    assert (f'{mend} If the classes may differ: default_hooks=dict('
            f'checkpoint_guard=dict(class_names=\'ignore\')) keeps the rows, '
            f'default_hooks=dict(checkpoint_guard=dict(fresh=[\'bbox_head.'
            f'head_module.cls_contrasts\'])) trains new ones.') in said


def test_new_rows_are_offered_where_the_rest_fits():
    model = detector()
    file = checkpoint(model.state_dict())
    wanted = detector()
    for head in wanted.bbox_head.head_module.cls_contrasts:
        head.conv = torch.nn.Conv2d(32, 3, 1)
    said = guard(wanted, file, names=('a', 'b', 'c'))
    assert (
        'To train new rows of the head instead: default_hooks='
        'dict(checkpoint_guard=dict(fresh=[\'bbox_head.head_module.'
        'cls_contrasts\'])). 6 tensor(s) have another shape: ') in said


@pytest.mark.parametrize(('form', 'stored'), [
    ('rep_conv', 'matrices'), ('rep_linear', 'convolutions')])
def test_the_other_form_is_trained_and_not_resumed(form, stored, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoint_guard_hook, 'log',
                        lambda text, level=0: said.append(text))
    other = dict(rep_conv='rep_linear', rep_linear='rep_conv')[form]
    file = checkpoint(randomize(detector(other)).state_dict(), NAMES)
    file['message_hub'] = dict(log_scalars={}, runtime_info={},
                               resumed_keys={})
    file['meta']['yolo_world_rep'] = dict(format=other, classes=NAMES)
    resumed = guard(detector(form), file, resume=True)
    assert resumed == (
        f'Checkpoint some.pth: the guides of its neck are '
        f'stored as {stored} and are read as '
        f'{"convolutions" if form == "rep_conv" else "matrices"}, as the '
        f'model has them; the numbers are the same, but the state of its '
        f'optimizer is of the tensors stored. To start a training from it '
        f'set load_from, without `resume=True`.')
    model = detector(form)
    assert guard(model, file) == ''
    line, = [text for text in said if 'are read as' in text]
    assert stored in line
    # A training's own file states the form that it has.
    hook = FoldedMetaHook()
    hook.after_load_checkpoint(None, file)
    written = dict(state_dict=model.state_dict())
    hook.before_save_checkpoint(SimpleNamespace(model=model), written)
    assert written['meta']['yolo_world_rep']['format'] == form
