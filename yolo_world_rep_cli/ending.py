"""How a command of this package ends: one line for a user's error."""
import io
import os
import sys
from typing import Callable, NoReturn, Optional

# Characters of a message: a file can name a class with as many as it likes.
LONGEST = 1500


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


def printable(text: str) -> str:
    """A text that cannot move the cursor of a terminal, as names may."""
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode()
        for c in text)


def write_any_name() -> None:
    """Have standard output escape what its encoding has no sign for.

    Names of files need not be Unicode, and names of classes need not be of
    the terminal's alphabet: neither may end a command that has done its
    work.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


def run(main: Callable[[], Optional[int]], debug: bool = False) -> NoReturn:
    """Run a command and leave with its exit status.

    A ``ValueError``, ``OSError`` or ``ImportError`` (an extra that is not
    installed) is the user's to mend: its message goes to standard error in
    one line, without a traceback, and the status is 2. Anything else is a
    bug of ours and keeps its traceback.

    Args:
        main (Callable): The command; returns its exit status, None for 0.
        debug (bool): Whether the user's errors come with their traceback.
            Defaults to False.
    """
    write_any_name()
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
            traceback.print_exc()
        hint = ''
        if isinstance(error, UnicodeError) and not sys.flags.utf8_mode:
            # Some of the packages below read text as the locale has it.
            hint = '; if the file is UTF-8, set PYTHONUTF8=1'
        print(f'error: {one_line(error)}{hint}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    sys.exit(status or 0)
