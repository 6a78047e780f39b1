"""The reader of the documentation notices what is wrong in it."""
import sys
from types import SimpleNamespace

import pytest
from docs_blocks import Block, Statement
from docs_commands import Reader, refusal
from docs_world import FOLDED, World


@pytest.fixture
def reader(tmp_path, monkeypatch):
    world = World(tmp_path)
    return Reader(world, tmp_path / 'reader', monkeypatch)


@pytest.mark.parametrize(('text', 'run', 'message'), [
    ('python tools/generate_text_prompts.py --text classes.txt --output x',
     True, 'unrecognized arguments|required'),
    ('python tools/generate_prompts.py --text classes.txt', True,
     'neither run nor listed'),
    ('yolo-world-rep embed --text none.txt --encoder words --out x.npy', True,
     'none.txt'),
    ('yolo-world-rep inspect [--jason]', False, 'inspect has no --jason'),
    ('yolo-world-rep inspekt x.pth', False, 'not known'),
    ('eval "$(yolo-world-rep completion bash)"', True, None),
    ('eval "$(yolo-world-rep completion fish)"', True, 'fish'),
    ('yolo-world-rep completion zsh > _yolo-world-rep', True, None),
    ('cat classes.txt | head -n 0 > names.txt', True, 'nothing to write'),
    ('git clone x', True, 'neither run nor listed'),
    ('ls gone', True, 'gone'),
    ('python benchmarks/latency.py --round 5', False, None),
    ('python benchmarks/latency.py --around 5', False, 'around'),
    ('python benchmarks/none.py', False, 'no file'),
    ('make tests', False, 'tests'),
    ("make test ARGS='tests/none'", False, 'no tests/none'),
    ('pip install "yolo_world_rep[all]"', False, 'no extra all'),
    (f'tools/dist_train.sh {FOLDED} 8 --resume', False, None),
    (f'tools/dist_train.sh {FOLDED} 8 --resumed', False, 'resumed'),
    ('python -c "import nothing_of_this_name"', True, 'nothing_of_this_name'),
])
def test_commands(reader, text, run, message):
    statement = Statement('a.md:1', text)
    if message is None:
        reader.type(statement, run)
        return
    with pytest.raises((AssertionError, ImportError), match=message):
        reader.type(statement, run)


def test_what_the_processor_cannot_do(reader, monkeypatch):
    """Ends in its line, and in no other way."""
    core = SimpleNamespace(get_property=lambda *_: ['FP32', 'FP16'])
    monkeypatch.setitem(sys.modules, 'openvino',
                        SimpleNamespace(Core=lambda: core))
    words = 'python tools/predict.py best.xml a.jpg --precision'.split()
    assert not refusal(words[:-1])
    assert not refusal([*words, 'f16'])
    line = refusal([*words, 'bf16'])
    assert line == ('error: precision bf16: the CPU has no such '
                    'instructions. Leave it out.\n')

    def ending(status, text):
        def command():
            sys.stderr.write(text)
            sys.exit(status)
        return command

    reader.call(ending(2, line), [], None, line)
    reader.call(ending(0, ''), [], None, '')
    for other in (ending(1, line), ending(0, ''), ending(2, line + line),
                  ending(2, 'error: no such file\n')):
        with pytest.raises(AssertionError):
            reader.call(other, [], None, line)
    with pytest.raises(AssertionError):
        reader.call(ending(2, line), [], None, '')


def test_one_command_after_the_other(reader):
    for text in ('NAMES=classes.txt',
                 'yolo-world-rep embed --text $NAMES --encoder words '
                 '--out x.npy', 'ls x.npy', "find . -name 'x.*' | cat"):
        reader.type(Statement('a.md:1', text))
    assert (reader.root / 'x.npy').is_file()


@pytest.mark.parametrize(('text', 'message'), [
    ('import yolo_world_rep.none', 'none'),
    ('model = dict(neck=dict(num_csp_block=3))', 'num_csp_block'),
    ("_base_ = './none.py'", 'none'),
])
def test_code(reader, text, message):
    with pytest.raises((ImportError, TypeError, OSError), match=message):
        reader.execute(Block('a.md', 1, 'python', text))
