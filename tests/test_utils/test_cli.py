"""How commands end."""
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
    (raiser(FileNotFoundError(2, 'No such file', 'x.npy')), 2,
     "error: [Errno 2] No such file: 'x.npy'\n"),
])
def test_status(main, status, err, capsys):
    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == status
    assert capsys.readouterr().err == err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(raiser(ZeroDivisionError()))
