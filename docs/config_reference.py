"""Writes the reference part of docs/configs.md from the code.

Run in the repository: python docs/config_reference.py
"""
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

PAGE = Path(__file__).resolve().with_name('configs.md')
BEGIN, END = '<!-- reference: begin -->\n', '<!-- reference: end -->\n'
PACKAGE = 'yolo_world_rep.'
ARGUMENT = re.compile(r'(\*{0,2}\w+)(?: \((.+?)\))?: (.*)')
TITLES = dict(
    MODELS='Models and their parts', DATASETS='Data sets',
    TRANSFORMS='Transforms', COLLATE_FUNCTIONS='Collate functions',
    METRICS='Metrics', HOOKS='Hooks', RUNNERS='Runners',
    OPTIM_WRAPPERS='Optimizer wrappers',
    OPTIM_WRAPPER_CONSTRUCTORS='Optimizer constructors',
    TASK_UTILS='Assigners')


def registered() -> Iterator[Tuple[str, str, Any]]:
    """(registry, name, object) of all that this package registers."""
    import mmyolo.registry
    from mmengine.dataset import COLLATE_FUNCTIONS
    from mmengine.registry import Registry

    from yolo_world_rep import datasets, engine, models, report  # noqa: F401
    registries = {
        name: value for name, value in vars(mmyolo.registry).items()
        if isinstance(value, Registry)
    }
    registries['COLLATE_FUNCTIONS'] = COLLATE_FUNCTIONS
    for registry, content in registries.items():
        for name, obj in sorted(content.module_dict.items()):
            if obj.__module__.startswith(PACKAGE) and (
                    obj.__module__ != PACKAGE + 'models.refused'):
                yield registry, name, obj


def plain(text: str) -> str:
    """Markdown of a piece of a docstring, in one line."""
    text = re.sub(r':\w+:`~?\.?([^`]+)`', r'`\1`', text)
    text = re.sub(r'\s+', ' ', text.replace('``', '`')).strip()
    return text.replace('|', '\\|').replace('*', '\\*')


def value_of(default: Any) -> str:
    """A default as a config would state it."""
    if isinstance(default, dict):
        inner = ', '.join(
            f'{key}={value_of(value)}' for key, value in default.items())
        return f'dict({inner})'
    return repr(default)


def documented(obj: Any) -> Dict[str, Tuple[str, str]]:
    """(type, meaning) of each argument in a docstring's ``Args:``."""
    found: Dict[str, Tuple[str, str]] = {}
    section = re.search(r'^Args:\n((?:    .*\n?|\n)+)',
                        inspect.cleandoc(obj.__doc__ or ''), re.M)
    for entry in re.split(r'\n?^    (?=\S)', section.group(1), flags=re.M) \
            if section else ():
        match = ARGUMENT.match(re.sub(r'\s+', ' ', entry))
        if match:
            found[match[1].lstrip('*')] = (match[2] or '', match[3])
    return found


def arguments(cls: type) -> Tuple[List[Tuple[str, ...]], str]:
    """Rows (argument, default, type, meaning), and what else is accepted.

    Args:
        cls (type): A class or function that is registered.

    Returns:
        tuple: Rows of the arguments that this package declares; the name of
        the foreign class whose arguments are accepted besides, or ''.
    """
    if not inspect.isclass(cls):
        return [], ''
    meanings: Dict[str, Tuple[str, str]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(PACKAGE):
            meanings.update({
                name: entry for name, entry in documented(base).items()
                if name not in meanings
                or not entry[1].startswith(('As ', 'Likewise'))
            })
    rows: Dict[str, Tuple[str, ...]] = {}
    rest = ''
    for base in cls.__mro__:
        if '__init__' not in vars(base):
            continue
        if not base.__module__.startswith(PACKAGE):
            rest = f'{base.__module__.partition(".")[0]}\'s `{base.__name__}`'
            break
        parameters = list(inspect.signature(base.__init__).parameters.values())
        for parameter in parameters[1:]:
            if parameter.kind in (parameter.VAR_POSITIONAL,
                                  parameter.VAR_KEYWORD):
                continue
            needed = parameter.default is inspect.Parameter.empty
            kind, meaning = meanings.get(parameter.name, ('', ''))
            meaning = re.sub(r'\s*Defaults? to .*\Z', '', meaning)
            rows.setdefault(parameter.name, (
                f'`{parameter.name}`',
                '' if needed else f'`{value_of(parameter.default)}`',
                plain(kind), plain(meaning)))
        if not any(parameter.kind is parameter.VAR_KEYWORD
                   for parameter in parameters):
            break
    return list(rows.values()), '' if rest == 'builtins\'s `object`' else rest


def section(name: str, obj: Any) -> str:
    """The part of the page about one class."""
    lines = [f'#### {name}', '',
             plain((inspect.getdoc(obj) or '').split('\n\n')[0])]
    rows, rest = arguments(obj)
    if rows:
        lines += ['', '| argument | default | type | what |',
                  '|---|---|---|---|']
        lines += [f'| {" | ".join(row)} |' for row in rows]
    if rest:
        lines += ['', f'{"And" if rows else "Has"} the arguments of {rest}.']
    return '\n'.join(lines) + '\n'


def reference() -> str:
    """The whole reference, as Markdown."""
    parts: List[str] = []
    seen = ''
    for registry, name, obj in sorted(
            registered(), key=lambda entry: (
                list(TITLES).index(entry[0]), entry[1])):
        if registry != seen:
            parts.append(f'### {TITLES[registry]}\n')
            seen = registry
        parts.append(section(name, obj))
    return '\n'.join(parts)


def replaced(page: str) -> str:
    """The page with its reference written anew."""
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f'{head}{BEGIN}\n{reference()}\n{END}{tail}'


if __name__ == '__main__':
    text = replaced(PAGE.read_text(encoding='utf-8'))
    PAGE.write_text(text, encoding='utf-8')
    sys.exit()
