"""The gate for the packages below us."""
import pytest

from yolo_world_rep import registry
from yolo_world_rep.compat import check_versions, versions


@pytest.mark.parametrize(('found', 'message'), [
    (None, r'needs mmyolo>=0.6.0,<0.7.0, and it is not installed'),
    ('0.5.0', r'0.5.0 is installed.*pip install "mmyolo>=0.6.0,<0.7.0"'),
    ('0.7.0', '0.7.0 is installed'),
])
def test_what_does_not_fit_is_named(monkeypatch, found, message):
    right = versions.installed_version
    monkeypatch.setattr(
        versions, 'installed_version', lambda names: found
        if names == ('mmyolo', ) else right(names))
    with pytest.raises(ImportError, match=message):
        check_versions()


@pytest.mark.parametrize(('mmengine', 'present', 'works'), [
    ('0.10.7', False, False),
    ('0.10.7', True, True),
    ('0.11.0rc3', False, True),
])
def test_an_old_mmengine_needs_pkg_resources(monkeypatch, mmengine, present,
                                             works):
    right = versions.installed_version
    monkeypatch.setattr(
        versions, 'installed_version', lambda names: mmengine
        if 'mmengine' in names else right(names))
    monkeypatch.setattr(versions, 'has_pkg_resources', lambda: present)
    if works:
        check_versions()
    else:
        with pytest.raises(
                ImportError,
                match='0.10.7 reads.*pip install "mmengine>=0.11.0rc3"'):
            check_versions()


def test_what_is_installed_fits():
    check_versions()


def test_it_is_said_before_mmyolo_runs(monkeypatch):
    monkeypatch.setattr(versions, 'installed_version', lambda _: '0.0.1')
    with pytest.raises(ImportError, match='0.0.1 is installed'):
        registry._MmyoloFinder().find_spec('mmyolo')
