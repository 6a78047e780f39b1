"""Embed the names of classes: a .npy of unit rows and its sidecar."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to embed, with what."""
    parser.add_argument(
        '--text',
        required=True,
        help='classes: JSON list (of synonym lists), COCO annotations, or '
        '.txt with one a line')
    parser.add_argument('--out', required=True, help='the .npy to write')
    parser.add_argument('--model', help='CLIP text model: folder or hub name')
    parser.add_argument(
        '--encoder',
        choices=['clip', 'words'],
        default='clip',
        help='words: the built-in one that needs no weights')
    parser.add_argument(
        '--dim', type=int, default=512, help='width of --encoder words')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument(
        '--prompt-format',
        nargs='+',
        default=['{}'],
        help='templates such as "a photo of a {}"; several are averaged')
    parser.add_argument(
        '--synonyms', choices=['first', 'mean'], default='first')
    parser.add_argument(
        '--pad',
        action='store_true',
        help='write FILE_padded.npy too, with the padding " " that public '
        'models want in the neck')


def run(args: argparse.Namespace) -> None:
    """Embed one vocabulary."""
    from pathlib import Path

    import numpy as np

    from yolo_world_rep.text import (
        PADDING,
        check_vocabulary,
        class_names,
        embed_vocabulary,
        load_class_texts,
        make_encoder,
        save_embeddings,
    )
    from yolo_world_rep.text.embeddings import padded_path
    texts = load_class_texts(args.text)
    check_vocabulary(texts, args.text)
    encoder = make_encoder(args.encoder, args.model, args.device,
                           args.batch_size, args.dim)
    vectors = embed_vocabulary(
        encoder, texts, args.prompt_format, args.synonyms, progress=True)
    names = class_names(texts)
    about = dict(encoder=encoder.name)
    prompts = [
        ' / '.join(args.prompt_format).replace('{}', name) for name in names
    ]
    saved = save_embeddings(args.out, vectors, names, prompts, **about)
    print(f'wrote {saved.path}: {len(vectors)} classes, '
          f'{vectors.shape[1]} wide, by {encoder.name}')
    if args.pad:
        padded = np.concatenate([vectors, encoder.encode([PADDING])])
        saved = save_embeddings(
            padded_path(Path(args.out)), padded, (*names, PADDING),
            (*prompts, PADDING), **about)
        print(f'wrote {saved.path}: the same and the padding, for '
              f'--neck-text-embed or --pad')
