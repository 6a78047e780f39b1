"""Modules that are not in the package any more say what is in their place."""
from importlib import import_module

import pytest

from yolo_world_rep.moved import GONE


@pytest.mark.parametrize('name', GONE)
def test_says_where_it_went(name):
    with pytest.raises(ImportError, match=f'{name} is gone: .*(see|is in) '):
        import_module(f'yolo_world_rep.{name}')
