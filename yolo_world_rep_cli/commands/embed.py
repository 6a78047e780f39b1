"""Compute text embeddings: a .npy with unit rows and a .json with names."""
import argparse

from yolo_world_rep.utils.cli import say

from ..parsing import NewFile, add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--text', required=True,
                        help='classes: JSON list (of synonym lists), COCO '
                             'annotations, or .txt with one per line')
    parser.add_argument('--out', required=True, type=NewFile('.npy'),
                        help='.npy file to write')
    parser.add_argument('--model', help='CLIP text model: folder or hub name')
    parser.add_argument(
        '--encoder', dest='kind', choices=['clip', 'words'], default='clip',
        help='"words" is a built-in encoder for trials that needs no weights')
    parser.add_argument('--dim', type=int, default=512,
                        help='width of the embeddings of --encoder words')
    add_device(parser, default='auto')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument(
        '--prompt-format', nargs='+', default=['{}'],
        help='templates such as "a photo of a {}"; several are averaged')
    parser.add_argument(
        '--synonyms', choices=['first', 'mean'], default='first')
    parser.add_argument(
        '--pad', action='store_true',
        help='also write FILE_padded.npy, which adds the padding prompt " " '
             'that public models need in the neck')


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from yolo_world_rep.text import (
        PADDING,
        check_vocabulary,
        class_names,
        embed_vocabulary,
        load_class_texts,
        make_encoder,
    )
    from yolo_world_rep.text.embeddings import embedding_files, padded_path
    from yolo_world_rep.text.encoders import prompts_of
    from yolo_world_rep.utils.files import write_together
    texts = load_class_texts(args.text)
    check_vocabulary(texts, args.text)
    encoder = make_encoder(args.kind, args.model, args.device,
                           args.batch_size, args.dim)
    vectors = embed_vocabulary(
        encoder, texts, args.prompt_format, args.synonyms, progress=True)
    names = class_names(texts)
    prompts = [' / '.join(prompts_of([name], args.prompt_format, 'first'))
               for name in names]
    files = embedding_files(args.out, vectors, names, prompts, encoder.name)
    if args.pad:
        padded = np.concatenate([vectors, encoder.encode([PADDING])])
        files.update(
            embedding_files(padded_path(args.out), padded, (*names, PADDING),
                            (*prompts, PADDING), encoder.name))
    write_together(files)
    say(f'wrote {args.out}: {len(vectors)} classes, '
        f'{vectors.shape[1]} wide, by {encoder.name}')
    if args.pad:
        say(f'wrote {padded_path(args.out)}: the same and the padding, for '
            f'--neck-text-embed or --pad')
