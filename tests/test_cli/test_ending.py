"""How commands end."""
import logging
import os
import subprocess
import sys

import pytest

from yolo_world_rep.utils import cli


def raiser(error):

    def main():
        raise error

    return main


@pytest.mark.parametrize(('main', 'status', 'err'), [
    (lambda: None, 0, ''),
    (lambda: 1, 1, ''),
    (raiser(ValueError('n=0:\n  expected more')), 2,
     'error: n=0: expected more\n'),
    (raiser(KeyboardInterrupt), 130, 'interrupted\n'),
    (raiser(KeyboardInterrupt('; go on')), 130, 'interrupted; go on\n'),
    (raiser(FileNotFoundError(2, 'No such file', 'x.npy')), 2,
     "error: [Errno 2] No such file: 'x.npy'\n"),
])
def test_status(main, status, err, capsys):
    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == status
    assert capsys.readouterr().err == err


def test_parameters_are_said_as_options(capsys):
    """The library names what a Python user passes."""
    main = raiser(ValueError('m.pth exists; pass `overwrite=True`, `other`'))
    with pytest.raises(SystemExit):
        cli.run(main, options=dict(overwrite='--overwrite'))
    assert capsys.readouterr().err == (
        'error: m.pth exists; pass --overwrite, `other`\n')


@pytest.mark.parametrize('said, expected', [
    ('leave out `half`', 'leave out --half'),
    ('`neck_form=\'text\'` alone', '--head-only alone'),
    ('take `neck_form=\'rep_linear\'`', 'take `neck_form=\'rep_linear\'`'),
    ('use `format=\'onnx\'`', 'use --format onnx'),
    ('`alpha=0.5`, `resume`, `of`', '`alpha=0.5`, `resume`, `of`'),
])
def test_values_of_parameters_are_said_as_options(said, expected):
    options = {'half': '--half', 'neck_form=\'text\'': '--head-only',
               'format': '--format', 'alpha': '--alpha'}
    assert cli.as_options(said, options) == expected


def test_logs_and_notes_say_options(monkeypatch, capsys, caplog):
    monkeypatch.setattr(logging, '_logRecordFactory', logging.LogRecord)
    options = dict(images='--images')

    def main():
        logging.getLogger('of_a_command').warning('give `%s`', 'images')
        cli.say_notes(['give `images`, `others`'], options)

    with pytest.raises(SystemExit):
        cli.run(main, options=options)
    assert caplog.messages == ['give --images']
    assert capsys.readouterr().out == 'note: give --images, `others`\n'


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(raiser(ZeroDivisionError()))


def test_a_reader_that_has_enough_ends_it_silently():
    """As in ``yolo-world-rep inspect file.pth | head -1``."""
    code = ('from yolo_world_rep.utils import cli\n'
            'cli.run(lambda: [print("line") for _ in range(100000)])')
    process = subprocess.Popen([sys.executable, '-c', code],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b''
    assert process.wait() == 141


def test_a_command_that_is_ended_leaves_nothing(tmp_path):
    code = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'from yolo_world_rep.utils.files import atomic_path, workshop\n'
        'from yolo_world_rep.utils import cli\n'
        'def main():\n'
        '    out = Path(sys.argv[1]) / "out" / "m.xml"\n'
        '    with workshop(out) as folder, atomic_path(out) as path:\n'
        '        path.write_text("half")\n'
        '        print(len(list(out.parent.iterdir())), flush=True)\n'
        '        time.sleep(600)\n'
        'cli.run(main)')
    # mmengine sets it in a process that trains, as torchrun does.
    alone = {key: value for key, value in os.environ.items()
             if key != 'LOCAL_RANK'}
    process = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)],
                               stdout=subprocess.PIPE, text=True, env=alone)
    assert process.stdout.readline() == '2\n'
    process.terminate()
    assert process.wait() == 143
    assert list(tmp_path.iterdir()) == []
