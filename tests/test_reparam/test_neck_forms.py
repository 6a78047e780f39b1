"""Guides as convolutions and as matrices: one model, whatever the file."""
import copy
import logging

import pytest
import torch
from builders import build_detector, detector_cfg, randomize, run_detector
from mmengine.config import Config
from mmengine.runner.checkpoint import load_state_dict
from tiny_deploy import SIZE, SMALL

from yolo_world_rep.detector import loading
from yolo_world_rep.reparam.interpolation import interpolate_state_dict
from yolo_world_rep.reparam.neck_forms import in_form_of

FORMS = ['rep_conv', 'rep_linear']
OTHER = dict(zip(FORMS, reversed(FORMS)))


def models(form):
    """A folded model with random biases, and an empty one of the other."""
    settings = dict(SMALL, num_heads=(32, 64, 32), num_classes=5)
    return (randomize(build_detector(form, **settings)).double(),
            build_detector(OTHER[form], **settings).double())


def same(first, second):
    image = torch.rand(1, 3, *SIZE, dtype=torch.float64)
    outputs = [run_detector(each, image) for each in (first, second)]
    return all(torch.equal(outputs[0][name], outputs[1][name])
               for name in outputs[0])


def permuted(state):
    """The same with the heads of one layer in another order."""
    state = dict(state)
    layer = 'neck.top_down_layers.0.attn_block'
    key = f'{layer}.guide_weight'
    if key in state:
        state[key] = state[key].roll(1, 0)
    else:
        names = [name for name in state if f'{layer}.guide_convs.' in name]
        state.update(zip(names, [state[name] for name in
                                 [*names[1:], names[0]]]))
    return state


@pytest.mark.parametrize('form', FORMS)
def test_both_forms_compute_the_same(form):
    model, other = models(form)
    state, note = in_form_of(model.state_dict(), other.state_dict())
    other.load_state_dict(state)
    assert same(model, other)
    back, _ = in_form_of(state, model.state_dict())
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor)
               for name, tensor in model.state_dict().items())
    assert f'are read as {"matrices" if form == FORMS[0] else "conv"}' in note
    other.load_state_dict(permuted(state))
    assert not same(model, other)


@pytest.mark.parametrize('form', FORMS)
def test_of_its_own_form_nothing_changes(form):
    state = models(form)[0].state_dict()
    assert in_form_of(state, state) == (dict(state), '')


@pytest.mark.parametrize('form', FORMS)
def test_any_loader_takes_the_other_form(form):
    """Those of torch and mmengine, and so ``init_detector``."""
    model, other = models(form)
    before = copy.deepcopy(model.state_dict())
    other.load_state_dict(model.state_dict())
    assert same(model, other)
    load_state_dict(other, permuted(model.state_dict()), strict=True)
    assert not same(model, other)
    load_state_dict(other, model.state_dict(), strict=True)
    assert same(model, other)
    # The caller's is as it was.
    assert all(torch.equal(before[name], tensor)
               for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('form', FORMS)
def test_load_detector_says_it_in_one_line(form, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(loading, 'print_log', lambda text, logger, level=(
        logging.INFO): said.append(text))
    model, _ = models(form)
    torch.save(dict(state_dict=model.float().state_dict()), tmp_path / 'm.pth')
    cfg = Config(dict(model=detector_cfg(
        OTHER[form], **dict(SMALL, num_heads=(32, 64, 32), num_classes=5))))
    loaded, _ = loading.load_detector(cfg, tmp_path / 'm.pth')
    assert same(model.double(), loaded.double())
    line, = said
    assert line.startswith(f'{tmp_path / "m.pth"}: the guides of its neck ')


def test_guides_of_odd_shapes_are_left_to_the_comparison():
    model, other = models('rep_conv')
    state = dict(model.state_dict())
    key = 'neck.top_down_layers.0.attn_block.guide_convs.1.weight'
    state[key] = state[key][:-1]
    assert key in in_form_of(state, other.state_dict())[0]
    matrix = key.replace('convs.1.weight', 'weight')
    state = dict(other.state_dict(), **{matrix: torch.ones(2, 2)})
    assert matrix in in_form_of(state, model.state_dict())[0]


def test_interpolation_from_a_file_of_the_other_form():
    model, other = models('rep_conv')
    other.load_state_dict(model.state_dict())
    mixed = interpolate_state_dict(other.state_dict(), model.state_dict(), 0.5)
    assert mixed.keys() == model.state_dict().keys()
    assert all(torch.allclose(mixed[name].double(), tensor.double())
               for name, tensor in model.state_dict().items())
