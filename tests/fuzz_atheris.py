"""Coverage-guided inputs for what parses bytes: `pip install atheris` first.

    PYTHONPATH=. python tests/fuzz_atheris.py SURFACE -runs=20000

Arguments after the surface are libFuzzer's. An error that is not for the
user ends the run with its traceback and the input in a file.
"""
import io
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import atheris
import numpy as np
import torch

with atheris.instrument_imports(include=['yolo_world_rep']):
    from yolo_world_rep.datasets import annotations, yolo_format
    from yolo_world_rep.inference.spec import Spec
    from yolo_world_rep.reparam import checkpoint, unpickling
    from yolo_world_rep.text import embeddings, vocabulary


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2, dtype='f4'))
    return buffer.getvalue()


def _pickle() -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state_dict={'neck.a': torch.ones(2)}, meta=dict(epoch=1)),
               buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _unpickle(path: Path) -> Any:
    try:
        content = unpickling.PlainUnpickler(
            io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # as the reader of checkpoints does
        raise ValueError(str(error)) from error
    return unpickling.plain(content)


COCO = dict(images=[dict(id=1, file_name='a', width=9, height=9)],
            categories=[dict(id=1, name='cat')],
            annotations=[dict(id=1, image_id=1, category_id=1, area=1,
                              bbox=[1, 1, 2, 2])])
#: Ending and content of a sound file, and what reads it.
SURFACES: Dict[str, Tuple[str, bytes, Callable[[Path], Any]]] = dict(
    vocabulary=('.json', b'[["cat", "kitten"], "dog"]',
                vocabulary.load_class_texts),
    names=('.txt', 'cat\nZürich\n'.encode(), vocabulary.load_class_texts),
    embeddings=('.npy', _npy(), embeddings.load_embeddings),
    annotations=('.json', json.dumps(COCO).encode(),
                 lambda path: annotations.read_coco(path, '.')),
    yaml=('.yaml', b'names: [cat, dog]\npath: .\n', yolo_format.yolo_names),
    metadata=('.txt', Spec(('a', ), (64, 64)).to_json().encode(),
              lambda path: Spec.from_json(
                  path.read_bytes().decode('utf-8', 'replace'), 'm')),
    checkpoint=('.pth', _pickle(), checkpoint.load_checkpoint),
    unpickling=('.pkl', b'\x80\x02}X\x01\x00\x00\x00aK\x01s.', _unpickle))


def main() -> None:
    """Fuzz one surface."""
    logging.disable(logging.CRITICAL)
    ending, seed, read = SURFACES[sys.argv.pop(1)]
    runs = next((int(word.partition('=')[2]) for word in sys.argv
                 if word.startswith('-runs=')), 0)
    counts = dict(worked=0, refused=0)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, 'corpus')
        corpus.mkdir()
        (corpus / 'sound').write_bytes(seed)
        path = Path(folder, f'input{ending}')

        def try_input(data: bytes) -> None:
            path.write_bytes(data)
            try:
                read(path)
                counts['worked'] += 1
            except (ValueError, OSError):
                counts['refused'] += 1
            if sum(counts.values()) == runs:
                print(counts, flush=True)

        atheris.Setup([*sys.argv, str(corpus)], try_input)
        atheris.Fuzz()


if __name__ == '__main__':
    main()
