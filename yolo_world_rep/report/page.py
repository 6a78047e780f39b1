"""The report itself: Markdown beside its pictures, and both as HTML."""
import html
import math
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

import cv2
from mmengine.config import Config

from yolo_world_rep.config.migration import config_from_file
from yolo_world_rep.config.variables import resolve_variables
from yolo_world_rep.inference.fonts import check_font
from yolo_world_rep.utils.cli import printable
from yolo_world_rep.utils.files import PathLike, workshop

from . import figures
from .history import History, read_history
from .mistakes import OVERLAP, SCORE, Evaluation, confusion, evaluate, worst
from .web_page import as_html

FOLDER = 'report'
PAGE = 'report.md'
WORST = 6  # images shown
# What Markdown, a table in it, or mathematics begins with.
MARKUP = re.compile(r'[\\`*_\[\]|$~#!]')
CONFUSED = 10  # pairs of classes listed


class Sources(NamedTuple):
    """The files of a training: its config, and the checkpoints around it."""
    config: Path
    after: Path
    before: Optional[Path]


def find_sources(work_dir: PathLike, before: Optional[PathLike] = None,
                 after: Optional[PathLike] = None) -> Sources:
    """Find config and checkpoints of a training in its folder.

    ``before`` is by default that of the config's report hook, else its
    ``load_from``; ``after`` the best checkpoint, else the last one.
    """
    work_dir = Path(work_dir)
    configs = sorted(work_dir.glob('*.py'), key=os.path.getmtime)
    if not configs:
        raise ValueError(f'{work_dir} holds no config: expected the work dir '
                         f'of a training.')
    cfg = config_from_file(configs[-1])
    if after is None:
        best = sorted(work_dir.glob('best_*.pth'), key=os.path.getmtime)
        last = work_dir / 'last_checkpoint'
        if best:
            after = best[-1]
        elif last.is_file():
            # The file keeps an absolute path, the folder may have moved.
            text = last.read_text(encoding='utf-8')
            after = work_dir / Path(text.strip()).name
    if after is None or not Path(after).is_file():
        raise ValueError(f'{after or work_dir}: there is no checkpoint to '
                         f'report on; name one by `after`.')
    if before is None:
        hook = (cfg.get('default_hooks') or {}).get('report') or {}
        before = hook.get('before') or cfg.get('load_from')
    return Sources(configs[-1], Path(after),
                   None if before is None else Path(before))


def write_report(work_dir: PathLike, before: Optional[PathLike] = None,
                 after: Optional[PathLike] = None, device: str = 'cpu',
                 font: Optional[str] = None) -> Path:
    """Write the report on a training into its folder.

    Args:
        work_dir (str | Path): Folder of the training.
        before (str | Path, optional): The checkpoint before it, None for the
            ``before`` of the config's report hook, else its ``load_from``.
        after (str | Path, optional): The checkpoint to report on, None for
            the best, else the last one.
        device (str): For the two evaluations. Defaults to ``'cpu'``.
        font (str, optional): As of :meth:`~.inference.Result.plot`.

    Returns:
        Path: The Markdown file, in ``WORK_DIR/report``; ``report.html`` beside
        it is the same in one file, pictures included.

    Raises:
        ValueError: If there is nothing to report on, or ``font`` is none.
    """
    check_font(font)
    sources = find_sources(work_dir, before, after)
    cfg, _ = resolve_variables(config_from_file(sources.config))
    history = read_history(work_dir)
    tuned = evaluate(cfg, sources.after, device)
    folded, why = _before(cfg, sources, device)
    names = list(tuned.ap)
    table = confusion(tuned.pictures, len(names))
    path = Path(work_dir) / FOLDER / PAGE
    with workshop(path) as shop:
        curves = figures.draw_curves(history, shop)
        figures.draw_classes(tuned.ap, folded and folded.ap,
                             shop / 'classes.png', font)
        figures.draw_confusion(table, names, shop / 'confusion.png', font)
        text = '\n'.join([
            *_head(sources, history, tuned, folded, why),
            *_cut(tuned, cfg.model.test_cfg.max_per_img),
            '## Training', '',
            *(f'![{Path(each).stem}]({each})' for each in curves), '',
            *_classes(tuned, folded), *_confused(table, names),
            *_worst(tuned, folded, shop, font),
            *_commands(sources, Path(tuned.pictures[0].path).parent)])
        (shop / PAGE).write_text(text, encoding='utf-8')
        (shop / PAGE).with_suffix('.html').write_text(
            as_html(text, f'Training: {Path(work_dir).name}', shop),
            encoding='utf-8')
        for file in sorted(shop.iterdir()):
            os.replace(file, path.parent / file.name)
    return path


def _before(cfg: Config, sources: Sources,
            device: str) -> Tuple[Optional[Evaluation], str]:
    """The evaluation of the earlier checkpoint, or why it is missing."""
    if sources.before is None:
        return None, 'the training started from random weights'
    try:
        return evaluate(cfg, sources.before, device), ''
    except ValueError as error:  # with a new head there is nothing before
        return None, ' '.join(str(error).split())


def _number(value: Optional[float]) -> str:
    return '–' if value is None or math.isnan(value) or value < 0 else (
        f'{value:.3f}')


def _text(text: str) -> str:
    """A name or a message as Markdown that shows it and does nothing."""
    return MARKUP.sub(r'\\\g<0>', html.escape(printable(text), quote=False))


def _code(text: object) -> str:
    """A path between as many backquotes as are not in it."""
    shown = printable(str(text))
    fence = '`' * (1 + max(map(len, re.findall('`+', shown)), default=0))
    room = ' ' if '`' in shown else ''
    return f'{fence}{room}{shown}{room}{fence}'


def _word(path: object) -> str:
    """A path as a word of a shell, in one line."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.encode('unicode_escape').decode().replace("'", "\\'")
    return f"$'{escaped}'"


def _head(sources: Sources, history: History, tuned: Evaluation,
          folded: Optional[Evaluation], why: str) -> List[str]:
    lines = [
        '# Report on a training', '',
        f'- config: {_code(sources.config)}',
        f'- after: {_code(sources.after)}',
        f'- before: {_code(sources.before)}' if folded else
        f'- before: not evaluated: {_text(why)}',
        f'- validation: {len(tuned.pictures)} images, {len(tuned.ap)} '
        f'class(es), {sum(len(p.boxes) for p in tuned.pictures)} objects'
    ]
    if history.steps:
        lines.append(f'- {history.steps[-1]["step"]} steps, '
                     f'{len(history.evaluations)} evaluations')
    titles = [name.replace('AP_', '') for name in tuned.metrics]
    lines += ['', '| | ' + ' | '.join(titles) + ' |',
              '|---' * (len(titles) + 1) + '|']
    for title, each in (('before', folded), ('after', tuned)):
        if each is not None:
            values = map(_number, each.metrics.values())
            lines.append(f'| {title} | ' + ' | '.join(values) + ' |')
    return [*lines, '']


def _cut(tuned: Evaluation, limit: int) -> List[str]:
    """What to say of images with as many detections as are kept."""
    cut = sum(len(each.found) >= limit for each in tuned.pictures)
    return [
        f'{cut} image(s) have {limit} detections with a score of {SCORE:g} '
        f'or more, the most that are kept: there may be more. Train with '
        f'more `max_detections`.', ''] if cut else []


def _classes(tuned: Evaluation, folded: Optional[Evaluation]) -> List[str]:
    boxes = Counter(label for picture in tuned.pictures
                    for label in picture.labels.tolist())
    lines = ['## Classes', '', '![AP by class](classes.png)', '',
             '| class | objects | AP before | AP after |', '|---|---|---|---|']
    for label, (name, value) in enumerate(tuned.ap.items()):
        was = folded.ap.get(name) if folded else None
        lines.append(f'| {_text(name)} | {boxes[label]} | '
                     f'{_number(was)} | {_number(value)} |')
    return [*lines, '']


def _confused(table, names: List[str]) -> List[str]:
    labels = [*names, 'nothing']
    pairs = sorted(((int(table[i, j]), i, j) for i in range(len(labels))
                    for j in range(len(labels)) if i != j and table[i, j]),
                   reverse=True)
    lines = ['## Confusions', '',
             f'Detections with a score of {SCORE:g} or more, matched to '
             f'objects that they overlap by {OVERLAP:g} or more.', '',
             'A cell counts objects; its colour is their share of the row. '
             'What is detected as nothing was missed.', '',
             '![confusion matrix](confusion.png)', '']
    if pairs:
        lines += ['| object | detected as | how often |', '|---|---|---|']
        lines += [f'| {_text(labels[i])} | {_text(labels[j])} | {count} |'
                  for count, i, j in pairs[:CONFUSED]]
    return [*lines, '']


def _worst(tuned: Evaluation, folded: Optional[Evaluation], folder: Path,
           font: Optional[str]) -> List[str]:
    """The images, drawn into a folder, before and after side by side."""
    lines = ['## Images with most mistakes', '', figures.LEGEND, '']
    bad = worst(tuned.pictures, WORST)
    for number, picture in enumerate(bad, 1):
        cells = []
        for when, each in (('before', folded), ('after', tuned)):
            if each is not None:
                same = {one.path: one for one in each.pictures}[picture.path]
                marks = figures.judge(same, list(tuned.ap), font)
                name = f'mistakes-{number}-{when}.jpeg'
                cv2.imwrite(str(folder / name), figures.draw_judged(
                    picture.path, marks, font))
                cells.append(f'{when}: {figures.count(marks)} '
                             f'![{when}]({name})')
        lines += [f'{number}\\. {_code(picture.path)}', '',
                  f'| {" | ".join(cells)} |', '|---' * len(cells) + '|', '']
    return lines if bad else [*lines[:2], 'None.', '']


def _commands(sources: Sources, images: Path) -> List[str]:
    from yolo_world_rep.deploy.export import name_of_file
    folder = sources.after.parent / 'export'
    exported = folder / name_of_file(sources.after, 'onnx')
    config, after, out, onnx, pictures = map(_word, (
        sources.config, sources.after, folder, exported, images))
    return [
        '## What to run next', '', '```bash',
        '# evaluate',
        f'yolo-world-rep test {config} {after}',
        '# detect',
        f'yolo-world-rep predict {config} --checkpoint {after} {pictures}',
        '# export, and detect with the file',
        f'yolo-world-rep export {config} {after} --format onnx --out {out}',
        f'yolo-world-rep predict {onnx} {pictures}', '```', ''
    ]
