"""How a command of this package ends: one line for a user's error."""
import os
import sys
from typing import Callable, NoReturn, Optional


def one_line(error: Exception) -> str:
    """The message of an error in one line.

    That of a data loader's process holds the traceback in it; its last line
    is the message.
    """
    message = str(error)
    if 'Original Traceback (most recent call last):' in message:
        message = message.rstrip().rsplit('\n', 1)[-1].split(': ', 1)[-1]
    return ' '.join(message.split())


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
        print(f'error: {one_line(error)}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    sys.exit(status or 0)
