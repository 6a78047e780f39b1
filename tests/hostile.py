"""Inputs that nobody should trust, and what may become of them.

The property of every test in ``tests/test_robustness``: an input works and
gives what a reference says, or it is refused with a ``ValueError`` or
``OSError`` that names the file; what was there before is as it was, within
a limit of time and memory.
"""
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

OUTCOMES = ('worked', 'refused', 'crashes', 'hangs', 'silent wrong results')
#: Surface to how often each outcome was.
TALLY: Dict[str, Counter] = {}
#: What the property did not hold for, and how often.
FAILURES: Counter = Counter()
#: Of one input; a busy machine takes many times what a quiet one does.
SECONDS = 120
#: That one input may add to the most the process ever held, MiB.
MEGABYTES = 600
USUAL = dict(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None)


#: How many times as many inputs as usual, new ones in each run; `make fuzz`.
TIMES = int(os.environ.get('YWR_FUZZ') or 0)
settings.register_profile('ci', derandomize=True, max_examples=30, **USUAL)
settings.register_profile(
    'fuzz',
    max_examples=30 * max(TIMES, 1),
    # Shrinking would count the same mistake many times.
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    **USUAL)


def inputs(share: float = 1) -> settings:
    """The settings of a test: a share of the usual number of inputs."""
    profile = settings.get_profile('fuzz' if TIMES else 'ci')
    return settings(
        profile, max_examples=max(2, round(profile.max_examples * share)))


class Hang(BaseException):
    """An input takes longer than it may."""


class Marker:
    """Unpickles by making a folder, which must never appear."""

    def __init__(self, path: Path, how: int = 0) -> None:
        self.path = str(path)
        self.how = how

    def __reduce__(self) -> Any:
        code = f'__import__("os").makedirs({self.path!r}, exist_ok=True)'
        return [
            (os.mkdir, (self.path, )),
            (os.system, (f'mkdir -p {self.path!r}', )),
            (eval, (code, )),
            (exec, (code, )),
            (subprocess.call,
             (['mkdir', self.path], )),
        ][self.how % 5]


def snapshot(folder: Optional[Path]) -> Dict[str, str]:
    """Hash of each file below a folder, '' for folders."""
    if folder is None or not folder.exists():
        return {}
    return {
        str(path.relative_to(folder)):
        hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() else '' for path in folder.rglob('*')
    }


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise :class:`Hang` after so many seconds."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> float:
    """The most memory that this process ever held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def attempt(surface: str,
            call: Callable[[], Any],
            folder: Path,
            out: Optional[Path] = None,
            names: Any = (),
            check: Callable[[Any], None] = lambda result: None,
            known: str = '') -> Any:
    """Try an input and count what becomes of it.

    Args:
        surface (str): The row of the table.
        call (Callable): Uses the input.
        folder (Path): What lies here, but for ``out``, may not change.
        out (Path, optional): A folder in it that only an input that works
            may change.
        names (Iterable[str]): One of these is in the message of a refusal.
        check (Callable): Compares the result with a reference.
        known (str): In the message of a crash that is counted and is not
            ours to mend. Defaults to ''.

    Returns:
        Any: The result; None of a refusal.

    Raises:
        AssertionError: If the property does not hold; with ``TIMES`` that
            goes to ``FAILURES`` and the run goes on.
    """
    try:
        return _attempt(surface, call, folder, out, names, check)
    except Exception as failure:
        if known and known in str(failure):
            return None
        if not TIMES:
            raise
        lines = traceback.extract_tb(failure.__traceback__)
        ours = [line for line in lines if 'hostile.py' not in line.filename]
        place = ours[-1] if ours else lines[-1]
        FAILURES[f'{surface}: {type(failure).__name__} at '
                 f'{place.filename}:{place.lineno}: '
                 f'{" ".join(str(failure).split())[:300]}'] += 1
        return None


def _attempt(surface: str, call: Callable[[], Any], folder: Path,
             out: Optional[Path], names: Any,
             check: Callable[[Any], None]) -> Any:
    """:func:`attempt` that raises."""
    counts = TALLY.setdefault(surface, Counter())
    counts['tried'] += 1
    before, held = snapshot(folder), _peak()
    error = result = None
    try:
        with time_limit(SECONDS):
            result = call()
    except (ValueError, OSError) as caught:
        error = caught
    except Hang:
        counts['hangs'] += 1
        raise AssertionError(f'longer than {SECONDS} s') from None
    except Exception:
        counts['crashes'] += 1
        raise
    try:
        grown = _peak() - held
        assert grown < MEGABYTES, f'{grown:.0f} MiB'
        assert not (folder / 'marker').exists(), 'code in the input ran'
        after = snapshot(folder)
        inside = '' if out is None else str(out.relative_to(folder))
        changed = sorted(
            path for path in {*before, *after}
            if before.get(path) != after.get(path) and (
                error is not None or not inside
                or f'{path}/'[:len(inside) + 1] != f'{inside}/'))
        assert not changed, f'changed: {changed}'
        if error is not None:
            message = str(error)
            assert len(message.strip()) > 10, f'says nothing: {error!r}'
            assert not names or any(
                str(name) in message for name in names), (
                    f'names none of {list(names)}: {message[:300]}')
        else:
            check(result)
    except AssertionError:
        counts['crashes' if error is not None else
               'silent wrong results'] += 1
        raise
    counts['worked' if error is None else 'refused'] += 1
    return result


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder for one input."""
    with tempfile.TemporaryDirectory(prefix='hostile') as name:
        yield Path(name)


def table() -> str:
    """The counts, for the terminal and the documentation."""
    head = ('surface', 'inputs tried', *OUTCOMES)
    rows = [[surface, str(counts['tried']), *(
        str(counts[outcome]) for outcome in OUTCOMES)]
        for surface, counts in sorted(TALLY.items())]
    total: Counter = sum(TALLY.values(), Counter())
    rows.append(['all', str(total['tried']),
                 *(str(total[outcome]) for outcome in OUTCOMES)])
    lines = [head, ['---'] + ['---:'] * (len(head) - 1), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


# --- strategies

#: Names of classes: every kind of text that a file can hold.
ODD_NAMES = ('../../evil', '/etc/passwd', 'a\nb', 'a\x00b', '\x1b[31mred',
             '[/bold]', '[red]x', '{{ fileBasename }}', '{{$HOME:x}}',
             '消火栓', 'ﷺ', 'a\u2028b', '\ud800', "'; import os; '", '%s{}',
             'x' * 5000, '  ', '', 'NUL', 'nan', '\u202eabc', '🦊' * 60)
names = st.one_of(
    st.sampled_from(ODD_NAMES), st.text(max_size=12),
    st.text(
        st.characters(blacklist_categories=()), max_size=6))

scalars = st.one_of(
    st.none(), st.booleans(),
    st.integers(-2**70, 2**70) | st.sampled_from([0, -1, 10**400]),
    st.floats(), names)
#: Anything that JSON can hold.
values = st.recursive(
    scalars, lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(names, inner, max_size=4)),
    max_leaves=8)


@st.composite
def damages(draw: Any) -> Callable[[bytes], bytes]:
    """What can happen to the bytes of a file."""
    kind = draw(
        st.sampled_from(['cut', 'flip', 'flips', 'zero', 'repeat', 'insert',
                         'empty', 'head', 'replace']))
    place = draw(st.floats(0, 1, exclude_max=True))
    bits = draw(st.lists(st.tuples(
        st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
        min_size=1, max_size=12))
    extra = draw(st.binary(min_size=1, max_size=40))

    def damage(data: bytes) -> bytes:
        if kind == 'empty' or not data:
            return b''
        at = int(place * len(data))
        if kind == 'cut':
            return data[:at]
        if kind == 'head':
            return data[at:]
        if kind == 'repeat':
            return data + data[at:]
        if kind == 'insert':
            return data[:at] + extra + data[at:]
        changed = bytearray(data)
        if kind == 'zero':
            end = min(len(data), at + 32)
            changed[at:end] = bytes(end - at)
        elif kind == 'replace':
            changed[at:at + len(extra)] = extra
        else:
            for where, bit in bits[:1 if kind == 'flip' else None]:
                changed[int(where * len(data))] ^= 1 << bit
        return bytes(changed)

    return damage


@st.composite
def edits(draw: Any) -> Callable[[Any], Any]:
    """Changes somewhere inside of a value of JSON."""
    steps = draw(st.lists(st.tuples(
        st.lists(st.integers(0, 7), max_size=5), values,
        st.sampled_from(['set', 'set', 'delete', 'twice'])),
        min_size=1, max_size=3))

    def edit(content: Any) -> Any:
        holder = [content]
        for path, value, action in steps:
            inside, key = holder, 0
            for number in path:
                child = inside[key]
                if not isinstance(child, (list, dict)) or not child:
                    break
                keys = (list(child) if isinstance(child, dict) else
                        range(len(child)))
                inside, key = child, keys[number % len(keys)]
            if action == 'set' or inside is holder:
                inside[key] = value
            elif action == 'delete':
                del inside[key]
            elif isinstance(inside, list):
                inside.append(inside[key])
        return holder[0]

    return edit
