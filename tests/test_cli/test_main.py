"""The command line: its parsers, its errors and what it must not import."""
import subprocess
import sys

import pytest
from tiny_exports import save_brightness

import yolo_world_rep
from yolo_world_rep.config import own_data, recipes
from yolo_world_rep.demo.story import Options
from yolo_world_rep.demo.world import Sizes
from yolo_world_rep.deploy import calibration, formats, onnx_file
from yolo_world_rep_cli.commands import COMMANDS, demo, export, new_config
from yolo_world_rep_cli.main import main, make_parser, run_tool

HEAVY = ('torch', 'numpy', 'rich', 'mmengine', 'mmyolo', 'shtab', 'cv2')


@pytest.fixture
def run(capsys):
    """Run a command line: exit status, output, errors."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(words)
        return (end.value.code or 0, *capsys.readouterr())

    return run


def test_parsers_are_there_before_anything_heavy():
    """Else help takes seconds; nor may help need what is not installed."""
    code = (f'import sys; from yolo_world_rep_cli.main import make_parser; '
            f'make_parser().format_help(); '
            f'print([name for name in {HEAVY} if name in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], text=True,
                          capture_output=True, check=True)
    assert done.stdout.strip() == '[]'


def test_help_fits_a_screen(run):
    status, out, err = run('--help')
    assert (status, err) == (0, '')
    lines = out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in COMMANDS:
        assert f'\n  {name} ' in out


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_each_command(run, name):
    status, out, _ = run(name, '--help')
    assert status == 0
    assert out.startswith(f'usage: yolo-world-rep {name}')
    assert '--debug' in out


def test_version(run):
    assert run('--version')[:2] == (
        0, f'yolo_world_rep {yolo_world_rep.__version__}\n')


@pytest.mark.parametrize(('words', 'message'), [
    ([], 'no command; yolo-world-rep --help'),
    (['predcit', 'a.onnx'], "no command 'predcit'; did you mean 'predict'?"),
    (['--debug', 'eval'], "did you mean 'evaluate'?"),
    (['generate_text_prompts.py'], "did you mean 'embed'?"),
    (['xyzzy'], "no command 'xyzzy'; yolo-world-rep --help"),
    (['inspect'], 'checkpoint (yolo-world-rep inspect --help'),
    (['inspect', 'a', 'b'], 'unrecognized arguments: b'),
    (['train', __file__, '--cfg-options', 'x'], 'x: expected key=value'),
    (['demo', '--epochs', '0'], '0: expected 1 or more'),
    (['inspect', 'none.pth'], 'none.pth'),
])
def test_mistakes_are_one_line(run, words, message):
    status, out, err = run(*words)
    assert (status, out) == (2, '')
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err


@pytest.mark.parametrize('words', [
    ['--debug', 'inspect', __file__],
    ['inspect', '--debug', __file__],
])
def test_debug_shows_the_traceback(run, words):
    status, _, err = run(*words)
    assert status == 2
    assert 'Traceback (most recent call last)' in err
    assert err.splitlines()[-1].startswith('error: ')


def test_a_tool_takes_the_same_arguments(monkeypatch, capsys):
    """Of the tools that are left by tests/test_tools."""
    monkeypatch.setattr(sys, 'argv', ['inspect_checkpoint.py', 'none.pth'])
    with pytest.raises(SystemExit) as end:
        run_tool('inspect')
    assert end.value.code == 2
    assert 'none.pth' in capsys.readouterr().err


def test_what_help_says_is_what_the_package_does():
    """The parsers repeat a few values that they cannot wait for."""
    assert new_config.SPLITS == own_data.SPLITS
    assert new_config.RECIPES == tuple(recipes.RECIPES)
    assert new_config.PARTS == tuple(recipes.PARTS)
    assert export.FORMATS == tuple(formats.FORMATS)
    assert export.DEFAULT_OPSET == onnx_file.DEFAULT_OPSET
    assert export.DEFAULT_COUNT == calibration.DEFAULT_COUNT
    assert Sizes(*(count for _, count, _ in demo.IMAGES)) == Sizes()
    told = make_parser().parse_args(['demo'])
    for name in ('seed', 'epochs', 'finetune_epochs', 'threads'):
        assert getattr(told, name) == getattr(Options, name), name


def test_many_names_are_cut_short(monkeypatch, capsys):
    names = [f'class {i}' for i in range(1203)]
    monkeypatch.setattr(
        'yolo_world_rep.reparam.inspection.inspect_checkpoint',
        lambda path: dict(class_names=names))
    for option, shown in (([], 20), (['--json'], 1203)):
        with pytest.raises(SystemExit) as end:
            main(['inspect', __file__, *option])
        assert end.value.code == 0
        out = capsys.readouterr().out
        assert out.count('class ') - (not option) == shown
        assert ('and 1183 more' in out) is (not option)


def test_what_an_exported_file_is(tmp_path, run):
    status, out, _ = run('inspect', str(save_brightness(tmp_path)))
    assert status == 0
    assert 'classes  dark, grey, bright' in out
    assert 'image size  [64, 96]' in out
