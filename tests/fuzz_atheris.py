"""Coverage-guided inputs for what parses bytes: `pip install atheris` first.

    PYTHONPATH=. python tests/fuzz_atheris.py SURFACE -runs=20000

Arguments after the surface are libFuzzer's. An error that is not for the
user ends the run with its traceback and the input in a file.
"""
import io
import json
import logging
import pickle
import sys
import tempfile
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import atheris
import numpy as np
import torch
from mmengine.logging import HistoryBuffer

with atheris.instrument_imports(include=['yolo_world_rep']):
    from yolo_world_rep.checkpoint_file import (
        pickle_records,
        reading,
        safetensors_file,
        tensors,
        zip_directory,
    )
    from yolo_world_rep.datasets import annotations, yolo_format
    from yolo_world_rep.engine import loading
    from yolo_world_rep.inference.spec import Spec
    from yolo_world_rep.reparam import checkpoint, records
    from yolo_world_rep.text import embeddings, vocabulary


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2, dtype='f4'))
    return buffer.getvalue()


CONTENT = dict(
    state_dict=OrderedDict({'neck.a': torch.ones(2),
                            'b': torch.nn.Parameter(torch.rand(2, 3).t())}),
    meta=dict(epoch=1, names=('cat', ), time=np.float64(2), more={1: [None]}))


def _saved(old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(CONTENT, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def _packed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('m/data.pkl', b'\x80\x02}X\x01\x00\x00\x00aK\x01s.')
        archive.writestr('m/byteorder', 'little')
    return buffer.getvalue()


def _safe() -> bytes:
    from safetensors.torch import save
    return save({'neck.a': torch.ones(2)},
                dict(meta='{"epoch": 1, "t": [{"x": null}]}'))


def _zip(data: bytes) -> None:
    zip_directory.Archive(
        io.BytesIO(data), len(data),
        reading.budget_of(len(data))).check_rest()


def _file(data: bytes) -> None:
    reading._read(io.BytesIO(data), len(data))


def _unpickle(data: bytes) -> None:
    makers = tensors.Tensors(
        lambda key, size: torch.zeros(min(size, 64), dtype=torch.uint8),
        1 << 20)
    content = pickle_records.Machine(
        data, makers=makers.makers, persistent=makers.storage).run()
    records.plain(content, 1 << 20)
    with suppress(*loading.UNMADE):
        loading.Builder(None, 1 << 20).build(content)


def _pickles() -> List[bytes]:
    with zipfile.ZipFile(io.BytesIO(_saved())) as archive:
        name, = (name for name in archive.namelist()
                 if name.endswith('data.pkl'))
        own = archive.read(name)
    history = HistoryBuffer([1., 2.], [1, 1])
    meta = dict(CONTENT['meta'], log=history, rows=np.eye(2))
    return [own, *(pickle.dumps(meta, number) for number in (2, 4, 5))]


COCO = dict(images=[dict(id=1, file_name='a', width=9, height=9)],
            categories=[dict(id=1, name='cat')],
            annotations=[dict(id=1, image_id=1, category_id=1, area=1,
                              bbox=[1, 1, 2, 2])])
#: Ending of a file, contents that are sound, and what reads it; without an
#: ending it reads the bytes.
SURFACES: Dict[str, Tuple[str, Any, Callable[[Any], Any]]] = dict(
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
    checkpoint=('.pth', [_saved(), _saved(old=True), _packed()],
                checkpoint.load_checkpoint),
    training=('.pth', [_saved(), _saved(old=True)],
              lambda path: loading.content_for_mmengine(str(path))),
    archive=('', [_saved(), _packed()], _zip),
    pickle=('', _pickles(), _unpickle),
    safetensors=('', _safe(), safetensors_file.parsed),
    file=('', [_saved(), _saved(old=True), _packed(), _safe()], _file))

def main() -> None:
    """Fuzz one surface."""
    logging.disable(logging.CRITICAL)
    ending, seeds, read = SURFACES[sys.argv.pop(1)]
    runs = next((int(word.partition('=')[2]) for word in sys.argv
                 if word.startswith('-runs=')), 0)
    counts = dict(worked=0, refused=0)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, 'corpus')
        corpus.mkdir()
        for number, each in enumerate(
                [seeds] if isinstance(seeds, bytes) else seeds):
            (corpus / f'sound{number}').write_bytes(each)
        path = Path(folder, f'input{ending}')

        def try_input(data: bytes) -> None:
            if ending:
                path.write_bytes(data)
            try:
                read(path if ending else data)
                counts['worked'] += 1
            except (ValueError, OSError):
                counts['refused'] += 1
            if sum(counts.values()) == runs:
                print(counts, flush=True)

        atheris.Setup([*sys.argv, str(corpus)], try_input)
        atheris.Fuzz()


if __name__ == '__main__':
    main()
