"""The lines of a run on the terminal; the rest is in its log file."""
import io
import logging
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from logging.handlers import MemoryHandler
from typing import Iterator, TextIO

from mmengine.logging import MMLogger, print_log

# Warnings of mmengine that are for those who write libraries.
NO_NEWS = ('Failed to search registry', '"FileClient" will be deprecated',
           '"HardDiskBackend" is the alias', '`save_param_scheduler` is True',
           '`resume_param_scheduler` is True', 'The prefix is not set in')
FROZEN = 'is skipped since its requires_grad=False'  # a line for each


class Log(io.TextIOBase):
    """A standard output that is written to mmengine's log instead.

    As a filter of the loggers that write meanwhile it leaves their warnings to
    ``terminal``, the standard output before. ``undo`` ends that.
    """

    def __init__(self, terminal: TextIO, undo: ExitStack) -> None:
        self.terminal, self.undo = terminal, undo
        # What is logged before the run has a file.
        self.early = MemoryHandler(10_000, logging.CRITICAL + 1)
        self.first = MMLogger.get_current_instance()
        self.hush()
        self.first.addHandler(self.early)
        undo.callback(self.first.removeHandler, self.early)

    def filter(self, record: logging.LogRecord) -> bool:
        return (record.levelno >= logging.WARNING
                and not record.getMessage().startswith(NO_NEWS)
                and not record.getMessage().endswith(FROZEN))

    def hush(self) -> bool:
        """Take mmengine's logger from the terminal; whether it was on it."""
        found = False
        logger = MMLogger.get_current_instance()
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                if logger is not self.first:
                    self.early.setTarget(handler)
                    self.early.flush()
            elif handler is not self.early and self not in handler.filters:
                found = True
                handler.addFilter(self)
                self.undo.callback(handler.removeFilter, self)
                if getattr(handler, 'stream', None) is self:
                    handler.setStream(self.terminal)
        return found

    def write(self, text: str) -> int:
        # A new logger writes here, as to any standard output, the first time.
        if not self.hush() and text.strip():
            print_log(text.rstrip(), 'current')
        return len(text)


@contextmanager
def quiet(verbose: bool = False) -> Iterator[None]:
    """Keep what is logged and printed meanwhile from the terminal.

    It goes to the log file of the run that is built meanwhile; the terminal
    shows warnings, and what :class:`TerminalHook` says. ``verbose`` leaves
    everything as mmengine has it.
    """
    with ExitStack() as stack:
        if not verbose:
            log = Log(sys.stdout, stack)
            stack.enter_context(redirect_stdout(log))
            handler = logging.StreamHandler(log)
            logger = logging.getLogger('py.warnings')
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
            logging.captureWarnings(True)
            stack.callback(logging.captureWarnings, False)
        yield
