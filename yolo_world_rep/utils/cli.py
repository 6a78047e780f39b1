"""How a command of this package ends: one line for a user's error."""
import sys
from typing import Callable, NoReturn, Optional


def run(main: Callable[[], Optional[int]]) -> NoReturn:
    """Run a command and leave with its exit status.

    A ``ValueError``, ``OSError`` or ``ImportError`` (an extra that is not
    installed) is the user's to mend: its message goes to standard error in
    one line, without a traceback, and the status is 2. Anything else is a
    bug of ours and keeps its traceback.

    Args:
        main (Callable): The command; returns its exit status, None for 0.
    """
    try:
        status = main()
    except (ValueError, OSError, ImportError) as error:
        message = ' '.join(str(error).split())
        print(f'error: {message}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    sys.exit(status or 0)
