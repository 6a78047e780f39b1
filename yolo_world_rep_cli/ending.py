"""How a command of this package ends: one line for a user's error."""
import io
import json
import logging
import os
import re
import signal
import sys
import threading
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
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
    """The message of an error in one line.

    That of a data loader's process holds the traceback in it; its last line
    is the message.
    """
    message = str(error)
    if 'Original Traceback (most recent call last):' in message:
        message = message.rstrip().rsplit('\n', 1)[-1].split(': ', 1)[-1]
    message = printable(' '.join(message.split()))
    return message if len(message) <= LONGEST else f'{message[:LONGEST]} …'


def printable(text: str, keep: str = '') -> str:
    """A text that cannot move the cursor of a terminal, as names may.

    Args:
        text (str): It.
        keep (str): Signs that stay, such as line breaks. Defaults to ''.

    Returns:
        str: With what is not printed, marks of the direction of writing
        included, escaped as JSON does; text of JSON stays JSON.
    """
    return ''.join(
        c if c.isprintable() or c in keep else json.dumps(c)[1:-1]
        for c in text)


def as_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library with options for its `parameters`.

    Errors of the library name what a Python user passes, as in "pass
    `overwrite=True`"; a user of the command types ``--overwrite``.
    """
    return re.sub(r'`(\w+)(?:=True)?`',
                  lambda found: options.get(found[1], found[0]), message)


def say(text: str, file: Optional[TextIO] = None, keep: str = '') -> None:
    """Print a line; commands print by this or by :func:`console` alone.

    Args:
        text (str): It may hold names of files and classes.
        file (TextIO, optional): Defaults to None for standard output.
        keep (str): As of :func:`printable`, :data:`LINES` for several
            lines. Defaults to ''.
    """
    print(printable(text, keep), file=file)  # noqa: T201


def console() -> 'Console':
    """rich's console, that escapes what it prints as :func:`say` does."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):

        def render(self, *args: Any, **settings: Any) -> Iterator[Segment]:
            for text, style, control in super().render(*args, **settings):
                yield Segment(printable(text, LINES), style, control)

    return Escaping(markup=False, emoji=False, highlight=False)


def log_record(*args: Any, **settings: Any) -> logging.LogRecord:
    """What any logger of a command's process logs, escaped."""
    made = logging.LogRecord(*args, **settings)
    made.msg, made.args = printable(made.getMessage(), LINES), ()
    return made


def take_any_name() -> None:
    """Have the standard streams take what their encoding has no sign for.

    Names of files need not be Unicode, and names of classes need not be of
    the terminal's alphabet: neither may end a command that has done its
    work.
    """
    for stream, errors in ((sys.stdin, 'surrogateescape'),
                           (sys.stdout, 'backslashreplace'),
                           (sys.stderr, 'backslashreplace')):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def end_when_told_to() -> None:
    """Have SIGTERM raise ``SystemExit``, so that what was begun is removed.
    """
    own = os.getpid()

    def end(*_: Any) -> None:
        if os.getpid() != own:  # a data loader's process, which forked
            os._exit(143)
        sys.exit(143)

    # A process of torchrun may wait for others, where no handler is run.
    if 'LOCAL_RANK' not in os.environ and (
            threading.current_thread() is threading.main_thread()):
        signal.signal(signal.SIGTERM, end)


def run(main: Callable[[], Optional[int]],
        debug: bool = False,
        options: Optional[Mapping[str, str]] = None) -> NoReturn:
    """Run a command and leave with its exit status.

    A ``ValueError``, ``OSError`` or ``ImportError`` (an extra that is not
    installed) is the user's to mend: its message goes to standard error in
    one line, without a traceback, and the status is 2. Anything else is a
    bug of ours and keeps its traceback.

    Args:
        main (Callable): The command; returns its exit status, None for 0.
        debug (bool): Whether the user's errors come with their traceback.
            Defaults to False.
        options (Mapping[str, str], optional): The command's options by the
            parameters that errors name. Defaults to None.
    """
    take_any_name()
    end_when_told_to()
    logging.setLogRecordFactory(log_record)
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has enough of it, as head has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, OSError, ImportError) as error:
        if debug:
            import traceback
            say(traceback.format_exc(), sys.stderr, LINES)
        hint = ''
        if isinstance(error, UnicodeError) and not sys.flags.utf8_mode:
            # Some of the packages below read text as the locale has it.
            hint = '; if the file is UTF-8, set PYTHONUTF8=1'
        elif isinstance(error, ModuleNotFoundError):
            # An environment of requirements/deploy.txt, and no more.
            hint = ('; it comes with this package where that is installed '
                    'without --no-deps')
        message = as_options(one_line(error), options or {})
        say(f'error: {message}{hint}', sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        say('interrupted', sys.stderr)
        sys.exit(130)
    sys.exit(status or 0)
