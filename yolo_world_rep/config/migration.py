"""Configs of the original YOLO-World, rewritten to run with this package.

A config is a program and people comment it, so the text is edited where it
must be and kept elsewhere.
"""
import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Tuple

import mmdet.registry
import mmengine.registry
import mmyolo.registry
from mmengine.config import Config
from mmengine.dataset import COLLATE_FUNCTIONS
from mmengine.registry import Registry

from ..models.refused import refusal
from ..utils.configs import base_reference, config_root
from ..utils.files import PathLike, about_file, atomic_path, require_regular
from ..utils.wording import command
from .bindings import LOADERS
from .source import ConfigText
from .variables import check_config, refused_types, type_name

PACKAGE, ORIGINAL = 'yolo_world_rep', 'yolo_world'
# A path into a checkout of mmyolo, wherever it lies.
IN_MMYOLO = re.compile(r'(?:^|[\\/])mmyolo[\\/]configs[\\/](.+\.py)$')
# Of the root of a Unix or Windows machine, or of somebody's home.
ABSOLUTE = re.compile(r'(?:/[^/\s]+/|[A-Za-z]:[\\/]|~[\\/])\S')
MMYOLO_CONFIGS = Path(mmyolo.__file__).parent / '.mim' / 'configs'
# What is built; other variables of a config are parts of these.
BUILT = ('model', *LOADERS, 'val_evaluator', 'test_evaluator',
         'optim_wrapper', 'default_hooks', 'custom_hooks', 'visualizer')
IMPORT = (f"custom_imports = dict(imports=['{PACKAGE}'], "
          f'allow_failed_imports=False)')


@dataclass(frozen=True)
class Migration:
    """The result of a migration.

    ``path`` is the copy, ``changes`` are its differences from the original,
    ``remarks`` say what its owner has to fix.
    """
    path: Path
    changes: Tuple[str, ...]
    remarks: Tuple[str, ...]


def _strings(node: ast.AST) -> List[ast.Constant]:
    return [part for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _bases(source: ConfigText) -> Tuple[Optional[ast.expr], List[str]]:
    node = next(source.values('_base_'), None)
    if node is None:
        return None, []
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise ValueError(f'line {node.lineno}: _base_ is computed; write '
                         f'the paths out') from None
    return node, [value] if isinstance(value, str) else list(value)


def _imports(source: ConfigText) -> List[ast.Constant]:
    """Where the original is imported."""
    return [text for node in source.values('custom_imports')
            for text in _strings(node)
            if re.split(r'[\\/]', text.value)[-1].split('.')[0] == ORIGINAL]


def _is_here(base: str, folder: Path) -> bool:
    # mmengine resolves names of packages, addresses and its variables.
    return any(sign in base for sign in ('::', '://', '{{')) or (
        folder / base).is_file()


def unmended(path: PathLike) -> Optional[str]:
    """Why a config needs :func:`migrate_config`; None if it does not."""
    if not str(path).endswith('.py') or not Path(path).is_file():
        return None
    try:
        source = ConfigText(path)
        _, bases = _bases(source)
    except ValueError:
        return None  # whoever runs it says so
    if _imports(source):
        return f'{path} imports {ORIGINAL}, the original\'s package'
    for base in bases:
        if not _is_here(base, source.path.parent):
            return f'{path} names a base that is not there, {base}'
        found = unmended(source.path.parent / base)
        if found and not any(source.values('custom_imports')):
            return found
    return None


def _command(path: PathLike) -> str:
    return command('migrate-config', path, '--out',
                   f'{os.path.splitext(path)[0]}_here.py')


def config_from_file(path: PathLike) -> Config:
    """Read a config of a detector.

    One of the original is refused with the remedy, and one without a model,
    as a full disk leaves it behind.
    """
    reason = unmended(require_regular(path))
    if reason:
        raise ValueError(f'{reason}. Write the copy that runs here: '
                         f'{_command(path)}')
    cfg = Config.fromfile(path)
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'{path} has no model=dict(...); expected the config '
                         f'of a detector.')
    return cfg


def _new_base(base: str, folder: Path, out: Path) -> str:
    """The name of a base in a copy at ``out``."""
    within = IN_MMYOLO.search(base)
    if within:
        place = within[1].replace('\\', '/')
        if not (MMYOLO_CONFIGS / place).is_file():
            raise ValueError(f'_base_ {base}: the installed mmyolo '
                             f'{mmyolo.__version__} has no config {place}')
        return f'mmyolo::{place}'
    here = folder / base
    if _is_here(base, folder):
        if not here.is_file():
            return base
        reason = unmended(here)
        if reason:
            raise ValueError(
                f'its _base_ must be fixed first: {reason}. Name in _base_ '
                f'what this writes: {_command(here)}')
        if os.path.isabs(base):
            return base
        return Path(os.path.relpath(here, out.parent)).as_posix()
    ours = sorted(config_root().rglob(re.split(r'[\\/]', base)[-1]))
    if len(ours) != 1:
        raise ValueError(f'_base_ {base} is not there: put it beside the '
                         f'config, or name one that is there')
    return base_reference(ours[0], out)


def _rewrite(source: ConfigText, out: Path) -> Tuple[bytes, List[str]]:
    """The text of the copy and the changes that need only the text."""
    changes = []
    node, bases = _bases(source)
    new = [_new_base(base, source.path.parent, out) for base in bases]
    if node is not None and new != bases:
        source.replace(node, repr(new[0] if len(new) == 1 else new))
        changes += [f'line {node.lineno}: _base_ {old} is now {name}'
                    for old, name in zip(bases, new) if old != name]
    for text in _imports(source):
        source.replace(text, repr(PACKAGE))
        changes.append(f'line {text.lineno}: custom_imports names {PACKAGE} '
                       f'instead of {text.value}')
    return source.edited(), changes


def _lines_to_add(cfg: Config,
                  source: ConfigText) -> Tuple[List[str], List[str]]:
    """Lines to append, and changes, that need the parsed config."""
    lines, changes = [], []
    if PACKAGE not in (cfg.get('custom_imports') or {}).get('imports', ()):
        lines.append(f"custom_imports['imports'] += ['{PACKAGE}']"
                     if any(source.values('custom_imports')) else IMPORT)
        changes.append(f'at the end: custom_imports names {PACKAGE}')
    for name in LOADERS:
        collate = (cfg.get(name) or {}).get('collate_fn') or {}
        # Ours takes the scope that mmengine stamps on what is inherited.
        if '_scope_' in collate and type_name(collate) != 'yolow_collate':
            kept = ', '.join(f'{key}={value!r}'
                             for key, value in collate.items()
                             if key != '_scope_')
            wanted = f'collate_fn=dict(_delete_=True, {kept})'
            lines.append(f'{name}.update({wanted})' if any(
                source.values(name)) else f'{name} = dict({wanted})')
            changes.append(f'at the end: {name}.collate_fn replaces that of '
                           f'mmyolo\'s config instead of adding to it')
    return lines, changes


def _types(node: Any) -> Iterator[str]:
    """Names of the classes that a config builds from registries."""
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _types(child)
    elif isinstance(node, Mapping):
        if type_name(node):
            yield type_name(node)
        if type_name(node) != 'Albu':  # albumentations has its own
            # nms is a function of mmcv.
            yield from _types([node[key] for key in node if key != 'nms'])


def _is_registered(name: str) -> bool:
    return any(
        registry.get(name) is not None
        for module in (mmyolo.registry, mmdet.registry, mmengine.registry)
        for registry in vars(module).values()
        if isinstance(registry, Registry)) or name in COLLATE_FUNCTIONS


def _remarks(cfg: Config, source: ConfigText) -> List[str]:
    """What the owner of the config must fix."""
    places = {
        text.value: text.lineno
        for text in _strings(source.tree) if ABSOLUTE.match(text.value)
        and not os.path.exists(os.path.expanduser(text.value))
    }
    remarks = [
        f'line {line}: {path} is not on this machine'
        for path, line in sorted(places.items(), key=lambda item: item[1])]
    unknown = sorted({name for part in BUILT for name in _types(cfg.get(part))
                      if not _is_registered(name)})
    if unknown:
        remarks.append(f'no package that is imported here has '
                       f'{", ".join(unknown)}: name the one that does in '
                       f'custom_imports')
    try:
        check_config(cfg)
    except ValueError as error:
        remarks.append(f'it will be refused: {error}')
    return remarks


def migrate_config(path: PathLike, out: PathLike) -> Migration:
    """Write the copy of a config of the original that runs with this package.

    ``out`` is a new ``.py``; it is read before it gets its name. If a base is
    nowhere, or the config needs what is not here, nothing is written.
    """
    path, out = Path(path), Path(out)
    for place in (path, out):
        if place.suffix != '.py':
            raise ValueError(f'{place}: expected a name that ends in .py')
    if out.exists():
        raise ValueError(f'{out} exists; choose another name')
    with about_file(path), atomic_path(out, overwrite=False) as temporary:
        source = ConfigText(path)
        data, changes = _rewrite(source, out)
        temporary.write_bytes(data)
        cfg = _read(temporary)
        lines, more = _lines_to_add(cfg, source)
        if lines:
            temporary.write_bytes(source.edited(lines))
            cfg = _read(temporary)
        for name in refused_types(cfg._cfg_dict):
            raise ValueError(refusal(name))
    return Migration(out, (*changes, *more), tuple(_remarks(cfg, source)))


def _read(path: Path) -> Config:
    """Read a copy; its errors are those of the user's config."""
    try:
        # Other packages that it imports need not be on this machine.
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:
        raise ValueError(f'the copy cannot be read: {type(error).__name__}: '
                         f'{error}') from error
