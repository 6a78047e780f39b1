"""The layout of the package: rooms import only rooms below them."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 350


def test_no_room_imports_one_above_it():
    """The contracts are in pyproject.toml."""
    pytest.importorskip(
        'importlinter',
        reason='import-linter is not installed: pip install import-linter '
        'to check which room imports which')
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\nfrom importlinter.cli import '
         'lint_imports\nsys.exit(lint_imports(no_cache=True))'],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(('module', 'unwanted'), [
    ('yolo_world_rep', ('numpy', 'cv2', 'PIL')),
    ('yolo_world_rep.inference', ()),
])
def test_a_light_import(module, unwanted):
    """Every process imports it, and exported files run without torch."""
    done = subprocess.run(
        [sys.executable, '-c', f'import sys, {module}\n'
         'print(*(name for name in sys.modules))'],
        cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded & {
        'torch', 'mmengine', 'mmcv', 'mmdet', 'mmyolo', *unwanted}


def test_training_loads_no_room_that_it_does_not_need():
    """Every process of a training imports these, and data loaders' too."""
    done = subprocess.run(
        [sys.executable, '-c', 'import sys, yolo_world_rep.report\n'
         'import yolo_world_rep.engine, yolo_world_rep.datasets\n'
         'print(*(name for name in sys.modules))'],
        cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert 'yolo_world_rep.report.training_report_hook' in loaded
    assert not loaded & {f'yolo_world_rep.{room}' for room in (
        'report.page', 'detector.loading', 'inference', 'deploy', 'demo')}


def test_no_file_is_too_long_to_read():
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ('yolo_world_rep', 'yolo_world_rep_cli')
        for path in (ROOT / folder).rglob('*.py')
        if (count := len(path.read_text(encoding='utf-8').splitlines()))
        > LONGEST
    }
    assert not long
