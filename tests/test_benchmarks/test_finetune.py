import importlib.util
import io
from pathlib import Path

import pytest
from rich.console import Console

SCRIPT = Path(__file__).resolve().parents[2] / 'benchmarks' / 'finetune.py'


@pytest.fixture(scope='module')
def finetune():
    spec = importlib.util.spec_from_file_location('finetune', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _row(seed, way, ap, retained):
    return dict(
        experiment='known', seed=seed, way=way, ap=ap, retained=retained)


def test_table_pairs_the_seeds(finetune):
    rows = [
        _row(1, 'folded', 0.9, 0.5),
        _row(0, 'folded', 0.7, 0.6),
        _row(0, 'text-conditioned', 0.6, 0.6),
        _row(1, 'text-conditioned', 0.7, 0.4),
        _row(0, 'YOLOv8 from scratch', 0.1, None),
        _row(1, 'YOLOv8 from scratch', 0.3, None),
    ]
    cost = dict(seconds=0.25, peak_mib=900., call_mib=123.)
    report = dict(seeds=2, rows=rows, costs=dict(shapes=dict(folded=cost)))
    table, costs = finetune.tables(report)
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    shown = console.file.getvalue()
    line, = [x for x in shown.splitlines() if '│ folded' in x]
    assert [x.strip() for x in line.split('│')[1:-1]] == [
        'folded', '0.800 ± 0.141', '0.550 ± 0.071'
    ]
    line, = [x for x in shown.splitlines() if 'YOLOv8' in x]
    assert '0.200 ± 0.141' in line
    assert ' - ' in line
    assert finetune.differences(report) == [
        'known: AP, folded less text-conditioned: +0.150 ± 0.071 (greater in '
        '2 of 2)',
        'known: retained AP, folded less text-conditioned: +0.050 ± 0.071 '
        '(greater in 1 of 2)'
    ]
    console.print(costs)
    assert '0.250' in console.file.getvalue()


def test_steps_of_both_trainings(finetune):
    """1600 images for 6 epochs, then 320 for 8, are 38 epochs of the 320."""
    run = finetune.Run.__new__(finetune.Run)
    run.plan = finetune.Plan(quick=False)
    assert run.shapes_total() == 38


def test_photographs_need_their_data(finetune, monkeypatch):
    monkeypatch.setattr('sys.argv', ['finetune.py'])
    with pytest.raises(ValueError, match='needs --data and --embeddings'):
        finetune.parse_args()
    monkeypatch.setattr('sys.argv', [
        'finetune.py', '--experiments', 'known', '--seeds', '0'])
    with pytest.raises(ValueError, match='--seeds 0'):
        finetune.parse_args()
