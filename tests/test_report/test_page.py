"""The report of a real, tiny training."""
import base64
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser

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
    _cut,
    _word,
    find_sources,
)
from yolo_world_rep.report.web_page import as_html
from yolo_world_rep.utils.cli import printable


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
    assert linked[:5] == ['loss.png', 'learning_rate.png',
                          'average_precision.png', 'classes.png',
                          'confusion.png']
    assert linked[5:7] == ['mistakes-1-before.jpeg', 'mistakes-1-after.jpeg']
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
    assert left == {'report.md', 'report.html', *linked}


class Reader(HTMLParser):
    """Elements that are open, attributes of all, and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], ''
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != 'meta':
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_html_is_the_markdown_in_one_file(trained):
    folder = trained / 'report'
    page = Reader((folder / 'report.html').read_text())
    assert not page.open
    sources = [attrs['src'] for tag, attrs in page.seen if tag == 'img']
    names = re.findall(r'!\[[^]]+\]\(([^)]+)\)',
                       (folder / 'report.md').read_text())
    for source, name in zip(sources, names, strict=True):
        assert base64.b64decode(source.partition('base64,')[2]) == (
            folder / name).read_bytes()
    for tag, attrs in page.seen:
        assert tag not in ('script', 'link', 'iframe', 'object', 'a')
        assert attrs.get('src', 'data:').startswith('data:')
        assert not {'href', 'srcset', 'onload', 'onerror'} & set(attrs)
    assert 'url(' not in (folder / 'report.html').read_text()
    for text in ('Report on a training', 'before: ', *NAMES,
                 f'yolo-world-rep test {trained}', figures.LEGEND):
        assert text in page.text


def test_names_do_nothing_in_the_html(tmp_path):
    names = [*HOSTILE, '"><img src=x onerror=alert(1)>', "it's & 'so'",
             '![x](/etc/passwd)', '<http://a.b>', '{body}', '猫']
    boxes = np.zeros((len(names), 4))
    tuned = Evaluation({}, dict.fromkeys(names, 0.5), [Picture(
        '', boxes, np.arange(len(names)), boxes[:0], np.zeros(0, int),
        np.zeros(0))])
    (tmp_path / 'classes.png').write_bytes(b'')
    page = Reader(as_html('\n'.join(_classes(tuned, None)), names[0],
                          tmp_path))
    assert not page.open
    assert {tag for tag, _ in page.seen} == {
        'html', 'head', 'meta', 'title', 'style', 'body', 'h2', 'p', 'img',
        'table', 'thead', 'tbody', 'tr', 'th', 'td'}
    assert [tag for tag, _ in page.seen].count('img') == 1
    assert all(printable(name) in page.text for name in names)


def test_numbers_are_those_of_the_test(trained):
    sources = find_sources(trained)
    cfg = Config.fromfile(sources.config)
    object.__setattr__(cfg, '_format_python_code', False)
    found = evaluate(cfg, sources.after)
    tested = launch.config_for_test(
        cfg, str(CONFIG), str(sources.after), work_dir=str(trained / 'test'),
        cfg_options={'visualizer.name': 'test'}, cuda=False)
    metrics = launch.build_runner(tested).test()
    for name, key in (('AP', 'mAP'), ('AP50', 'mAP_50'), ('AP75', 'mAP_75')):
        assert found.metrics[name] == pytest.approx(
            metrics[f'coco/bbox_{key}'], abs=1e-12)
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


def test_a_list_that_is_cut_is_said():
    boxes = np.zeros((3, 4))
    picture = Picture('', boxes, np.zeros(3, int), boxes, np.zeros(3, int),
                      np.full(3, 0.5))
    tuned = Evaluation({}, {}, [picture])
    assert _cut(tuned, 4) == []
    assert '1 image(s) have 3 detections' in _cut(tuned, 3)[0]


def test_names_do_nothing_in_the_pictures(tmp_path):
    """A sum in dollars is no mathematics, which would end matplotlib."""
    names = ['$x^$', '$\\frac{$', '$5', 'a\nb', '\x1b[2J']
    figures.draw_classes(dict.fromkeys(names, 0.5), None, tmp_path / 'a.png')
    figures.draw_confusion(np.ones((6, 6), int), names, tmp_path / 'b.png')
    assert all((tmp_path / f'{name}.png').stat().st_size for name in 'ab')


def test_figures_have_no_empty_boxes(tmp_path):
    """matplotlib warns of a letter that its font lacks; this is an error."""
    names = ['café', 'кот', '猫', '\U00012000', 'العربية']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figures.draw_classes(
            dict.fromkeys(names, 0.5), None, tmp_path / 'a.png')
        figures.draw_confusion(
            np.ones((6, 6), int), names, tmp_path / 'b.png')


def test_pictures_say_what_was_taken_for_what(tmp_path):
    cv2.imwrite(str(tmp_path / 'i.png'), np.zeros((40, 60, 3), np.uint8))
    boxes = np.array([[1., 1, 20, 20], [30, 1, 50, 20]])
    marks = figures.judge(
        Picture('i.png', boxes, np.array([0, 1]), boxes[:1], np.array([1]),
                np.array([0.9])), ['$x^$', 'été'])
    assert [mark.text for mark in marks] == ['été 0.90, is $x^$',
                                             'été missed']
    assert figures.count(marks) == '0 right, 1 wrong, 1 missed'
    assert figures.draw_judged(tmp_path / 'i.png', marks).shape == (
        533, 800, 3)


def test_paths_in_the_page():
    assert _code('a/b.pth') == '`a/b.pth`'
    assert _code('a`b``c') == '``` a`b``c ```'
    assert _code('a\nb') == r'`a\nb`'
    assert _word('a b') == "'a b'"
    name = "\na'\x1b"
    done = subprocess.run(['bash', '-c', f'printf %s {_word(name)}'],
                          capture_output=True, check=True)
    assert done.stdout == name.encode()
