"""The layout of the package: rooms import only rooms below them."""
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 350


def test_no_room_imports_one_above_it(monkeypatch, capsys):
    """The contracts are in pyproject.toml."""
    pytest.importorskip(
        'importlinter',
        reason='import-linter is not installed: pip install import-linter '
        'to check which room imports which')
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
    monkeypatch.chdir(ROOT)
    status = lint_imports(
        config_filename=str(ROOT / 'pyproject.toml'), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_no_file_is_too_long_to_read():
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ('yolo_world_rep', 'yolo_world_rep_cli')
        for path in (ROOT / folder).rglob('*.py')
        if (count := len(path.read_text(encoding='utf-8').splitlines()))
        > LONGEST
    }
    assert not long
