"""Detect objects in images, folders and videos, with any model."""
import argparse
from typing import TYPE_CHECKING

from yolo_world_rep.utils.cli import progress, say

from .. import models
from ..parsing import NewFile, add_font, existing, positive

if TYPE_CHECKING:
    from yolo_world_rep.inference import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_model_arguments(parser, scores='0.25')
    # What --only was called in version 0.1.
    parser.add_argument(
        '--classes', dest='only', nargs='+', help=argparse.SUPPRESS)
    parser.add_argument('source', nargs='+',
                        help='images, videos, folders, patterns, or - for a '
                             'list of files on standard input, one per line')
    parser.add_argument(
        '--save-dir', help='folder for pictures with boxes, names and masks')
    parser.add_argument(
        '--json', type=NewFile(), help='COCO results file to write')
    parser.add_argument(
        '--ids-from', metavar='ANN', type=existing,
        help='COCO file whose image and category ids --json has')
    parser.add_argument(
        '--txt', help='folder for label files (class x y w h score)')
    add_font(parser)
    parser.add_argument(
        '--max-drawn', type=positive, default=100, metavar='N',
        help='draw the N best detections of an image (default: 100)')


def summary(result: 'Result') -> str:
    """The detections in an image, in words."""
    from collections import Counter
    counts = Counter(result.label_names)
    listed = ', '.join(f'{count} {name}' for name, count in counts.items())
    frame = '' if result.frame is None else f' frame {result.frame}'
    return f'{result.path}{frame}: {listed or "nothing"}'


def run(args: argparse.Namespace) -> int:
    """The status is 1 if an image was skipped."""
    import sys
    import time

    from yolo_world_rep.inference.coco_ids import CocoIds
    from yolo_world_rep.inference.sources import Item, count_images, find_files
    from yolo_world_rep.inference.writing import Writer
    if args.ids_from and not args.json:
        raise ValueError('--ids-from is for --json, which is not given.')
    ids = CocoIds(args.ids_from) if args.ids_from else None
    files = find_files(args.source, sys.stdin)
    skipped = []

    def skip(item: Item, error: ValueError) -> None:
        skipped.append(item)
        say(f'skipped: {" ".join(str(error).split())}', sys.stderr)

    silent = args.save_dir or args.txt or args.json
    with models.open_predictor(args, score_threshold=0.25) as predictor:
        # After the model, so that one that is refused leaves no folders.
        writer = Writer(args.save_dir, args.txt, args.json, files,
                        args.font, args.max_drawn, ids)
        say(models.describe(predictor))
        limit = predictor.spec.max_detections
        images = detections = full = 0
        start = time.perf_counter()
        with writer, progress(count_images(files)) as advance:
            for result in predictor.stream(
                    files, on_error=skip, keep_images=bool(args.save_dir)):
                writer.add(result)
                images += 1
                detections += len(result)
                full += len(result) == limit
                advance()
                if not silent:
                    say(summary(result))
            writer.close()
        seconds = time.perf_counter() - start
    written = ', '.join(
        str(place) for place in (args.save_dir, args.json, args.txt) if place)
    say(f'{images} images in {seconds:.1f} s ({images / seconds:.2f}/s), '
          f'{detections} detections' +
          (f', {len(skipped)} skipped' if skipped else '') +
          (f'; written: {written}' if written else ''))
    if full:
        say(f'{full} image(s) have {limit} detections, the most that are '
            f'kept; there may be more: give a higher --max-det',
            sys.stderr)
    return 1 if skipped else 0
