"""Import paths of version 0.1."""
import importlib
import sys
from pathlib import Path

import pytest

from yolo_world_rep import datasets, engine, report
from yolo_world_rep.moved import GONE, MOVED

PAGE = Path(__file__).parents[1] / 'docs' / 'migration.md'


@pytest.mark.parametrize('old', MOVED)
def test_an_old_path_gives_the_module_and_names_the_new(old):
    path = f'yolo_world_rep.{old}'
    sys.modules.pop(path, None)
    new = importlib.import_module(f'yolo_world_rep.{MOVED[old]}')
    with pytest.warns(FutureWarning, match=f'{old} is {new.__name__} now'):
        assert importlib.import_module(path) is new
    # It goes on under its own name, which pickles and reloads go by.
    assert new.__spec__.name == new.__name__ == f'yolo_world_rep.{MOVED[old]}'


def test_old_names_give_the_new():
    with pytest.warns(FutureWarning, match='is yolo_world_rep.report.Train'):
        assert engine.TrainingReportHook is report.TrainingReportHook
    with pytest.warns(FutureWarning, match='LoadCheckedImageFromFile now'):
        assert (datasets.transforms.LoadImageFromFile
                is datasets.transforms.LoadCheckedImageFromFile)
    with pytest.raises(AttributeError, match='no attribute'):
        engine.NoSuchHook  # noqa: B018


def test_the_page_lists_all():
    text = PAGE.read_text(encoding='utf-8')
    missing = [f'| `{old}` | `{new}` |' for old, new in MOVED.items()
               if f'| `{old}` | `{new}` |' not in text]
    missing += [old for old in GONE if f'`{old}`' not in text]
    assert not missing


@pytest.mark.parametrize('name', GONE)
def test_what_is_gone_says_where_it_went(name):
    with pytest.raises(ImportError, match=f'{name} is gone: .*(see|is in) '):
        importlib.import_module(f'yolo_world_rep.{name}')
