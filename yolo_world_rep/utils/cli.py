"""How a command of this package ends: one line for a user's error."""
import io
import json
import logging
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    NoReturn,
    Optional,
    TextIO,
)

if TYPE_CHECKING:
    from rich.console import Console

# Characters of a message: a file can name a class with as many as it likes.
LONGEST = 1500
# What stays of a text of several lines.
LINES = '\n\t'


def one_line(error: Exception) -> str:
    """The message of an error in one line."""
    message = str(error)
    # Of a data loader's process it is the traceback, the message its end.
    if 'Original Traceback (most recent call last):' in message:
        message = message.rstrip().rsplit('\n', 1)[-1].split(': ', 1)[-1]
    message = printable(' '.join(message.split()))
    return message if len(message) <= LONGEST else f'{message[:LONGEST]} …'


def printable(text: str, keep: str = '') -> str:
    """A text that cannot move the cursor of a terminal, as names may.

    Whatever is neither printable nor in ``keep`` is escaped as in JSON.
    """
    return ''.join(c if c.isprintable() or c in keep else json.dumps(c)[1:-1]
                   for c in text)


def as_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library with options for its parameters.

    "Pass `overwrite=True`" is for Python, "pass --overwrite" for the command;
    `format='onnx'` becomes --format onnx, or the option that stands for it.
    """

    def option(found: 're.Match[str]') -> str:
        whole, name, value = found.groups()
        if whole in options or name not in options:
            return options.get(whole, found[0])
        return f'{options[name]} {value}' if value else options[name]

    return re.sub(r"`((\w+)(?:=True|='(\w+)')?)`", option, message)


def say(text: str, file: Optional[TextIO] = None, keep: str = '') -> None:
    """Print a line; commands print by this or by :func:`console` alone."""
    print(printable(text, keep), file=file)


def fail(message: str) -> NoReturn:
    """End the command with an error of the user's."""
    say(f'error: {message}', sys.stderr)
    sys.exit(2)


def say_notes(notes: Iterable[str], options: Mapping[str, str]) -> None:
    """Print what a user should know of a result, a line each."""
    for note in notes:
        say(f'note: {as_options(note, options)}')


def console() -> 'Console':
    """A console of rich that escapes what it prints as :func:`say` does."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):

        def render(self, *args: Any, **settings: Any) -> Iterator[Segment]:
            for text, style, control in super().render(*args, **settings):
                yield Segment(printable(text, LINES), style, control)

    return Escaping(markup=False, emoji=False, highlight=False)


@contextmanager
def progress(total: Optional[int],
             what: str = 'images') -> Iterator[Callable[..., None]]:
    """A progress bar on standard error, where that is a terminal.

    It is for ``total`` of them, if known; call what it yields after each, with
    a text instead of the speed.
    """
    if not sys.stderr.isatty():  # an older rich would end an empty line
        yield lambda text='': None
        return
    from rich import progress as bars
    from rich.console import Console
    with bars.Progress(
            bars.TextColumn('{task.description}'), bars.BarColumn(),
            bars.MofNCompleteColumn(), bars.TextColumn('{task.fields[speed]}'),
            bars.TimeRemainingColumn(), console=Console(stderr=True),
            transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=total, speed='')

        def advance(text: str = '') -> None:
            speed = bar.tasks[0].speed
            text = text or (f'{speed:.1f}/s' if speed else '')
            bar.update(task, advance=1, speed=text)

        yield advance


def take_any_name() -> None:
    """Have the standard streams take what their encoding cannot express.

    Names of files and classes may be of any alphabet, or not Unicode at all.
    """
    for stream, errors in ((sys.stdin, 'surrogateescape'),
                           (sys.stdout, 'backslashreplace'),
                           (sys.stderr, 'backslashreplace')):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def end_when_told_to() -> None:
    """Have SIGTERM raise ``SystemExit``, so that unfinished files go."""
    own = os.getpid()

    def end(*_: Any) -> None:
        if os.getpid() != own:  # a data loader's process, which forked
            os._exit(143)
        sys.exit(143)

    # A process of torchrun may wait for others, where no handler is run.
    if 'LOCAL_RANK' not in os.environ and (
            threading.current_thread() is threading.main_thread()):
        signal.signal(signal.SIGTERM, end)


def run(main: Callable[[], Optional[int]], debug: bool = False,
        options: Mapping[str, str] = {}) -> NoReturn:
    """Run a command and leave with its exit status.

    A ``ValueError``, ``OSError`` or ``ImportError`` (an extra that is not
    installed) is for the user to fix: its message goes to standard error in
    one line, with a traceback only for ``debug``, and the status is 2.
    Anything else is a bug of ours and keeps its traceback. ``options`` are
    the command's, by the parameters that messages name.
    """

    def log_record(*args: Any, **settings: Any) -> logging.LogRecord:
        made = logging.LogRecord(*args, **settings)
        made.msg = printable(as_options(made.getMessage(), options), LINES)
        made.args = ()
        return made

    take_any_name()
    end_when_told_to()
    logging.setLogRecordFactory(log_record)
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output, such as head, has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, OSError, ImportError) as error:
        if debug:
            import traceback
            say(traceback.format_exc(), sys.stderr, LINES)
        hint = ''
        if isinstance(error, UnicodeError) and not sys.flags.utf8_mode:
            # Some packages below read text in the encoding of the locale.
            hint = '; if the file is UTF-8, set PYTHONUTF8=1'
        elif isinstance(error, ModuleNotFoundError):
            # An environment of requirements/deploy.txt, and no more.
            hint = ('; it is a requirement of this package, which was '
                    'installed here without its requirements')
        fail(as_options(one_line(error), options) + hint)
    except KeyboardInterrupt as end:
        say(f'interrupted{end}', sys.stderr)
        sys.exit(130)
    sys.exit(status or 0)
