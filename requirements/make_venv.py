"""Build .venv from the tested pins, unless it is there and up to date.

The Makefile runs it with the interpreter that .venv shall have, after a
look at its version. It needs the standard library only.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Sequence

ROOT = Path(__file__).resolve().parent.parent
PINS = 'requirements/pins.txt'
# What an editable install takes over when it is made.
METADATA = ('setup.py', 'setup.cfg', 'pyproject.toml',
            'requirements/runtime.txt', 'requirements/tests.txt',
            'yolo_world_rep/version.py')
# Settings of the caller that would make pip install somewhere else.
FOREIGN = ('PYTHONHOME', 'PYTHONPATH', 'PIP_PREFIX', 'PIP_TARGET',
           'PIP_USER')


class SetupError(Exception):
    """Something the user can mend; the message says how."""


def base_interpreter() -> str:
    """The interpreter itself where a virtual environment's is running."""
    return os.path.realpath(
        getattr(sys, '_base_executable', None) or sys.executable)


def check_venv_module() -> None:
    """Refuse an interpreter that cannot make virtual environments.

    Raises:
        SetupError: If modules of the standard library are missing.
    """
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f'{sys.executable} cannot make virtual environments ({error}); '
            f'install its venv module (Debian, Ubuntu: apt install '
            f'python3-venv) or name another Python: make PYTHON=...'
        ) from None


def fingerprints(root: Path) -> Dict[str, str]:
    """What an up-to-date .venv was made from.

    Args:
        root (Path): The checkout.

    Returns:
        Dict[str, str]: ``packages`` changes with the pins, the interpreter
            and the place of the checkout, ``project`` with the metadata of
            this package.
    """

    def digest(*parts: bytes) -> str:
        return hashlib.sha256(b'\0'.join(parts)).hexdigest()

    return {
        'packages':
        digest(sys.version.encode(), base_interpreter().encode(),
               str(root).encode(), (root / PINS).read_bytes()),
        'project':
        digest(*((root / name).read_bytes() for name in METADATA)),
    }


class Stamp:
    """The file in .venv that says what it was made from.

    It is written empty before anything else is and completed at the end: an
    interrupted set-up leaves an incomplete one, and a virtual environment
    without any was not made here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / 'made_by_make.json'

    def read(self) -> Dict[str, str]:
        try:
            return json.loads(self.path.read_text(encoding='utf-8'))
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, content: Dict[str, str]) -> None:
        partial = self.path.with_suffix('.partial')
        partial.write_text(
            json.dumps(content, indent=2) + '\n', encoding='utf-8')
        os.replace(partial, self.path)

    def start_over(self) -> None:
        """Empty the folder, the stamp staying until the very end.

        Raises:
            SetupError: If the folder is somebody else's.
        """
        if self.folder.exists() and not self.path.exists():
            raise SetupError(
                f'{self.folder} was not made by this Makefile and stays as '
                f'it is; move it away or remove it, then run make again')
        self.folder.mkdir(exist_ok=True)
        self.write({})
        for child in self.folder.iterdir():
            if child.is_symlink() or child.is_file():
                if child != self.path:
                    child.unlink()
            else:
                shutil.rmtree(child)


def run(command: Sequence[str]) -> None:
    """Run a command in the checkout, without the caller's settings."""
    environment = {
        name: value
        for name, value in os.environ.items() if name not in FOREIGN
    }
    environment['PIP_DISABLE_PIP_VERSION_CHECK'] = '1'
    if subprocess.run(command, cwd=ROOT, env=environment).returncode:
        raise SetupError('the set-up failed, see above; .venv is incomplete '
                         'and the next run makes it anew')


def main() -> None:
    stamp = Stamp(ROOT / '.venv')
    made_from, wanted = stamp.read(), fingerprints(ROOT)
    if made_from == wanted:
        return
    python = str(stamp.folder / 'bin' / 'python')
    # On a terminal pip shows its progress, in a log only what goes wrong.
    pip = [python, '-m', 'pip', 'install']
    if not sys.stdout.isatty():
        pip.append('-qq')
    if made_from.get('packages') != wanted['packages']:
        check_venv_module()
        stamp.start_over()
        print(f'Making .venv of {base_interpreter()}', flush=True)
        run([base_interpreter(), '-m', 'venv', str(stamp.folder)])
        print(f'Installing the versions of {PINS} into .venv: a minute or '
              f'two and 1.6 GB, more where torch brings CUDA', flush=True)
        run([*pip, '-r', PINS])
        stamp.write({'packages': wanted['packages']})
    print('Installing this checkout into .venv (editable)', flush=True)
    run([*pip, '--no-deps', '--no-build-isolation', '-e', '.'])
    stamp.write(wanted)


if __name__ == '__main__':
    try:
        main()
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
