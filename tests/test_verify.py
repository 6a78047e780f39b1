import pytest
import torch
import verify

from yolo_world_rep.reparam import folding

CASES = list(verify.cases(quick=True))


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.neck)
def test_every_form_agrees(case):
    errors = verify.errors_of(case)
    forms = {(error.form, error.dtype) for error in errors}
    assert {('folded', 'float64'), ('fused', 'float32')} <= forms
    assert len(errors) == (7 if case.export else 5)
    for error in errors:
        assert error.error <= error.bound, error


def test_a_wrong_fold_is_too_large(monkeypatch):
    monkeypatch.setattr(
        folding, 'fold_width',
        lambda guide_MNd: guide_MNd / (2 * guide_MNd.shape[-1])**0.5)
    errors = {(error.form, error.dtype): error
              for error in verify.errors_of(CASES[0]._replace(export=False))}
    assert errors['folded', 'float64'].error <= verify.EXACT
    for dtype in ('float64', 'float32'):
        error = errors['fused', dtype]
        assert error.error > 10 * error.bound


def test_not_a_number_is_not_within_a_bound():
    nan = torch.tensor([float('nan'), 1.])
    assert not verify.worst((nan, ), (torch.ones(2), )) <= 1


def test_the_sweep_covers_what_it_says():
    cases = list(verify.cases(quick=False))
    assert len(cases) == len(set(cases)) == 5 * 4 * 2 * 5 * 3 + 10
    for name in ('size', 'neck', 'head', 'classes'):
        exported = {getattr(case, name) for case in cases if case.export}
        assert exported == {getattr(case, name) for case in cases}
