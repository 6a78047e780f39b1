"""The report of a real, tiny training."""
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_training import (
    CONFIG,
    NAMES,
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch
from yolo_world_rep.report import figures, write_report
from yolo_world_rep.report.mistakes import (
    Evaluation,
    Picture,
    evaluate,
)
from yolo_world_rep.report.page import (
    _classes,
    _code,
    _confused,
    _word,
    find_sources,
)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work dir with the report that its hook wrote."""
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    work_dir = tmp_path_factory.mktemp('work')
    more = {
        'visualizer.name': str(work_dir),
        'default_hooks.report.type': 'TrainingReportHook',
        'default_hooks.report.before': str(root / 'rep_conv.pth'),
        'base_lr': 1e-2
    }
    cfg = launch.config_for_training(
        read_config(), str(CONFIG), work_dir=str(work_dir), cuda=False,
        cfg_options=options(root, **more))
    torch.save(checkpoint_of(build_model(cfg)), root / 'rep_conv.pth')
    launch.build_runner(cfg).train()
    return work_dir


def test_hook_writes_page_and_figures(trained):
    page = (trained / 'report' / 'report.md').read_text()
    for title in ('# Report', '## Training', '## Classes', '## Confusions',
                  '## Images with', '## What to run next'):
        assert title in page
    linked = re.findall(r'!\[[^]]+\]\(([^)]+)\)', page)
    assert len(linked) == 4
    for name in linked:
        image = cv2.imread(str(trained / 'report' / name))
        assert min(image.shape[:2]) > 100
        assert image.std() > 5  # not empty
    for name in NAMES:
        assert re.search(rf'\| {name} \| \d+ \| 0\.\d+ \| 0\.\d+ \|', page)
    assert '| before |' in page
    assert '4 images, 3 class(es), 8 objects' in page
    assert f'yolo-world-rep test {trained}' in page
    left = {path.name for path in (trained / 'report').iterdir()}
    assert left == {'report.md', *linked}


def test_numbers_are_those_of_the_test(trained):
    sources = find_sources(trained)
    cfg = Config.fromfile(sources.config)
    object.__setattr__(cfg, '_format_python_code', False)
    found = evaluate(cfg, sources.after)
    tested = launch.config_for_test(
        cfg, str(CONFIG), str(sources.after), work_dir=str(trained / 'test'),
        cfg_options={'visualizer.name': 'test'}, cuda=False)
    metrics = launch.build_runner(tested).test()
    # Of which three digits are shown.
    for name, key in (('AP', 'mAP'), ('AP50', 'mAP_50'), ('AP75', 'mAP_75')):
        assert round(found.metrics[name], 3) == metrics[f'coco/bbox_{key}']
    assert sum(len(p.boxes) for p in found.pictures) == 8
    for picture in found.pictures:
        assert (picture.scores >= 0.3).all()


def test_tool_finds_what_it_needs(trained):
    sources = find_sources(trained)
    assert sources.config.name == CONFIG.name
    assert sources.after.name.startswith(('best_', 'epoch_'))
    assert sources.before.name == 'rep_conv.pth'
    path = write_report(trained, after=trained / 'epoch_1.pth')
    assert 'epoch_1.pth' in path.read_text()


def test_before_that_does_not_fit_is_said_and_left_out(trained, tmp_path):
    other = torch.load(trained / 'epoch_1.pth', weights_only=False)
    for key in [k for k in other['state_dict'] if 'cls_contrasts' in k]:
        del other['state_dict'][key]
    torch.save(other, tmp_path / 'other.pth')
    page = write_report(trained, before=tmp_path / 'other.pth').read_text()
    assert 'before: not evaluated: ' in page
    assert 'are missing' in page
    assert '| before |' not in page


def test_folders_that_are_no_work_dirs(trained, tmp_path):
    with pytest.raises(ValueError, match='holds no config'):
        write_report(tmp_path)
    for path in trained.glob('*.py'):
        shutil.copy(path, tmp_path)
    with pytest.raises(ValueError, match='no checkpoint to report on'):
        write_report(tmp_path)


def test_failing_report_does_not_fail_the_training(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from yolo_world_rep.report import TrainingReportHook

    def full(*args, **kwargs):
        raise OSError('disk full')

    said = []
    monkeypatch.setattr('yolo_world_rep.report.write_report', full)
    monkeypatch.setattr(
        'yolo_world_rep.report.training_report_hook.print_log',
        lambda message, *_: said.append(message))
    runner = SimpleNamespace(
        model=torch.nn.Linear(1, 1), work_dir=str(tmp_path))
    TrainingReportHook().after_train(runner)
    assert 'disk full' in said[0]
    assert f'yolo-world-rep report {tmp_path}' in said[0]


HOSTILE = ['<script>alert(1)</script>', 'a|b', '$x^$', '`c`', 'd\n## e',
           '[f](http://g)', 'h\x1b[2J\u202e', '&lt;', 'under_score']


def test_names_do_nothing_in_the_page(tmp_path):
    boxes = np.zeros((len(HOSTILE), 4))
    picture = Picture('', boxes, np.arange(len(HOSTILE)), boxes[:0],
                      np.zeros(0, int), np.zeros(0))
    tuned = Evaluation({}, dict.fromkeys(HOSTILE, 0.5), [picture])
    table = np.ones((len(HOSTILE) + 1, ) * 2, int)
    for lines in (_classes(tuned, None), _confused(table, HOSTILE)):
        for line in lines:
            assert line.isprintable()
            bare = re.sub(r'\\\\.|\\.', '', line)
            if bare.startswith('| ') and 'class' not in bare:
                assert not re.search(r'[<>`$\[\]]', bare), line
                assert bare.count('|') in (4, 5), line
    lines = '\n'.join(_classes(tuned, None))
    assert r'| under\_score | 1 |' in lines
    assert '| &amp;lt; | 1 |' in lines
    assert r'| d\\n\#\# e | 1 |' in lines


def test_names_do_nothing_in_the_pictures(tmp_path):
    """A sum in dollars is no mathematics, which would end matplotlib."""
    names = ['$x^$', '$\\frac{$', '$5', 'a\nb', '\x1b[2J']
    figures.draw_classes(dict.fromkeys(names, 0.5), None, tmp_path / 'a.png')
    figures.draw_confusion(np.ones((6, 6), int), names, tmp_path / 'b.png')
    cv2.imwrite(str(tmp_path / 'i.png'), np.zeros((40, 40, 3), np.uint8))
    boxes = np.array([[1., 1, 20, 20]])
    figures.draw_pictures(
        [Picture(str(tmp_path / 'i.png'), boxes, np.array([0]), boxes,
                 np.array([1]), np.array([0.9]))], names, tmp_path / 'c.png')
    assert all((tmp_path / f'{name}.png').stat().st_size for name in 'abc')


def test_paths_in_the_page():
    assert _code('a/b.pth') == '`a/b.pth`'
    assert _code('a`b``c') == '``` a`b``c ```'
    assert _code('a\nb') == r'`a\nb`'
    assert _word('a b') == "'a b'"
    name = "\na'\x1b"
    done = subprocess.run(['bash', '-c', f'printf %s {_word(name)}'],
                          capture_output=True, check=True)
    assert done.stdout == name.encode()
