"""Shared by the commands that detect."""
import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from yolo_world_rep.utils.cli import say

from .parsing import add_cfg_options, add_device, cfg_options, positive

if TYPE_CHECKING:
    from yolo_world_rep.inference import Predictor

MODEL_HELP = ('checkpoint (.pth, .safetensors), exported file (.onnx, .xml, '
              '.torchscript, .pt), name of a public model, or config (.py, '
              'with --checkpoint)')


def local(model: str) -> str:
    """The path of a model, which may be the name of a public one."""
    from yolo_world_rep.utils.public_models import path_of
    return str(path_of(model))


def add_backend_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what a model runs in."""
    add_device(parser)
    parser.add_argument('--threads', type=int,
                        help='threads of the runtime (default: its choice)')
    parser.add_argument(
        '--precision',
        help='precision for OpenVINO: f32, bf16 or f16 (default: f32)')


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments on a model's input, and on what a config says of it."""
    parser.add_argument('--img-size', nargs=2, type=int, metavar=('H', 'W'),
                        help='size of the input, if it can vary')
    add_cfg_options(parser)


def add_words(parser: argparse.ArgumentParser, group: Any = None) -> None:
    """Class names for a text-conditioned checkpoint.

    ``group`` holds what says the same in another way.
    """
    (group or parser).add_argument('--words', nargs='+', metavar='NAME',
                                   help='class names for a text-conditioned '
                                        'checkpoint, or a file of names')
    add_encoder(parser)


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """What embeds words."""
    parser.add_argument(
        '--encoder',
        help='encoder of the words: folder or hub name of a CLIP text model, '
             'or "words" (default: the CLIP of the public models)')


def add_norms(parser: argparse.ArgumentParser) -> None:
    """What becomes of embeddings whose norms a neck may not expect."""
    norms = parser.add_mutually_exclusive_group()
    norms.add_argument(
        '--normalize', dest='norms', action='store_const', const='normalize',
        default='refuse', help='normalize the embeddings to norm 1')
    norms.add_argument(
        '--keep-norms', dest='norms', action='store_const', const='keep',
        help='fold embeddings of any norm as they are')


def words_of(args: argparse.Namespace) -> Any:
    """Those of :func:`add_words`: names, or the file that has them."""
    if not args.words:
        return None
    if len(args.words) == 1 and args.words[0].endswith(
            ('.txt', '.json')):
        return args.words[0]
    # Of a room that needs torch, unlike exported files.
    from yolo_world_rep.text.vocabulary import tidy_names
    words, remark = tidy_names(args.words)
    if remark:
        say(f'--words {remark}.', sys.stderr)
    return words


def config_and_checkpoint(
        args: argparse.Namespace) -> Tuple[Optional[str], str]:
    """Those of ``MODEL [CHECKPOINT]``; of a checkpoint alone, no config."""
    is_config = args.model.endswith('.py')
    if is_config and args.checkpoint is None:
        raise ValueError(f'{args.model} is a config: give its CHECKPOINT too.')
    if not is_config and args.checkpoint is not None:
        raise ValueError(f'{args.model} and {args.checkpoint}: expected one '
                         f'checkpoint, or a config (.py) and its checkpoint.')
    if is_config:
        return args.model, local(args.checkpoint)
    return None, local(args.model)


def _score(text: str) -> Tuple[str, float]:
    """``0.3`` or ``cat=0.6``, as the type of an argument."""
    name, _, score = text.rpartition('=')
    try:
        return name, float(score)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text}: expected a score, or NAME=SCORE, such as cat=0.6'
        ) from None


def add_detections(parser: Any, scores: str = '') -> None:
    """Which detections are kept; ``scores`` says the default of --score."""
    parser.add_argument(
        '--max-det', dest='max_detections', type=positive, metavar='N',
        help='detections in an image, at most (default: often 300)')
    parser.add_argument(
        '--agnostic-nms', dest='class_agnostic', action='store_const',
        const=True, help='let boxes of different classes suppress each other')
    if scores:
        parser.add_argument(
            '--score', type=_score, action='append', metavar='[NAME=]SCORE',
            help=f'minimum score of a detection, or of those of a class '
                 f'(default: {scores}); can be given several times')


def detections_of(args: argparse.Namespace) -> Dict[str, Any]:
    """Those of :func:`add_detections`, as far as they were given."""
    scores = dict(getattr(args, 'score', None) or ())
    given = dict(
        max_detections=args.max_detections, class_agnostic=args.class_agnostic,
        score_threshold=scores.pop('', None), class_scores=scores or None)
    return {name: value for name, value in given.items() if value is not None}


def add_model_arguments(parser: argparse.ArgumentParser,
                        scores: str = '') -> None:
    """The arguments for a model and how to run it, see `add_detections`."""
    parser.add_argument('model', help=MODEL_HELP)
    parser.add_argument('--checkpoint', help='weights for a config')
    add_words(parser)
    parser.add_argument('--only', nargs='+', metavar='NAME',
                        help='report only these classes')
    add_detections(parser, scores)
    add_backend_arguments(parser)
    parser.add_argument('--batch', dest='batch_size', metavar='BATCH',
                        type=int, help='images per batch (default: 1)')
    parser.add_argument('--workers', type=int, default=2,
                        help='threads that load images (default: 2)')
    add_size_arguments(parser)


def be_quiet(*models: str) -> None:
    """Leave standard output to the results, and warn on standard error.

    Exported files log without mmengine, which loads torch.
    """
    from pathlib import Path

    from yolo_world_rep.inference.backends import SUFFIXES
    if 'mmengine' not in sys.modules and not any(
            SUFFIXES.get(Path(model).suffix.lower()) == 'pytorch'
            for model in models):
        return
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.setLevel('WARNING')
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.stream = sys.stderr


def open_predictor(args: argparse.Namespace, **settings: Any) -> 'Predictor':
    """The predictor of :func:`add_model_arguments`."""
    import cv2

    from yolo_world_rep.inference import Predictor
    model = local(args.model)
    be_quiet(model)
    # One thread an image: they work on several at the same time anyhow.
    cv2.setNumThreads(1)
    return Predictor(
        model, args.checkpoint and local(args.checkpoint), device=args.device,
        threads=args.threads, precision=args.precision,
        batch_size=args.batch_size, workers=args.workers,
        image_size=args.img_size and tuple(args.img_size),
        classes=args.only, cfg_options=cfg_options(args.cfg_options),
        words=words_of(args), encoder=args.encoder,
        **{**settings, **detections_of(args)})


def describe(predictor: 'Predictor') -> str:
    """One line on what runs."""
    backend, spec = predictor.backend, predictor.spec
    height, width = predictor.preprocess.size
    weights = '' if spec.precision == 'fp32' else f', {spec.precision} weights'
    return (f'{backend.name} in {backend.precision}: {backend.path.name}'
            f'{weights}, {len(spec.classes)} classes, {height}x{width}, '
            f'batch {predictor.batch_size}, score > '
            f'{predictor.spec.score_threshold:g}')
