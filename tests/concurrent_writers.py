"""What several processes do at once, each a function of a barrier."""
import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

ROUNDS = 12


def _outcome(results: List[str], call: Any) -> None:
    try:
        call()
        results.append('worked')
    except (ValueError, OSError) as error:
        results.append(f'{type(error).__name__}: {error}')


def everything(barrier: Any, folder: Path, name: str, value: int) -> None:
    """All of the below, with the outcomes in a JSON file."""
    results: Dict[str, List[str]] = {}
    for overwrite in (False, True):
        for function in (convert, export):
            key = f'{function.__name__} {overwrite}'
            place = folder / key
            function(barrier, folder, place, name, overwrite,
                     results.setdefault(key, []))
    predict(barrier, folder / 'predict', name, value,
            results.setdefault('predict', []))
    (folder / f'{name}.json').write_text(json.dumps(results))


def convert(barrier: Any, folder: Path, place: Path, name: str,
            overwrite: bool, results: List[str]) -> None:
    """Convert this process' own m.pth, each round to the same place."""
    from yolo_world_rep.reparam import convert_checkpoint
    for number in range(ROUNDS):
        barrier.wait()
        _outcome(results, lambda to=place / str(number):
                 convert_checkpoint(folder / name / 'm.pth',
                                    folder / 't.npy', to,
                                    overwrite=overwrite))


def export(barrier: Any, folder: Path, place: Path, name: str,
           overwrite: bool, results: List[str]) -> None:
    """Publish two files that belong together, each round anew."""
    from yolo_world_rep.deploy.formats import publish
    from yolo_world_rep.utils.files import workshop
    for number in range(ROUNDS * 10):
        to = place / str(number) / 'm.xml'
        barrier.wait()

        def write(to: Path = to) -> None:
            with workshop(to) as shop:
                for ending in ('.xml', '.bin'):
                    (shop / f'm{ending}').write_text(name)
                publish(shop / 'm.xml', to, overwrite)

        _outcome(results, write)


def predict(barrier: Any, place: Path, name: str, value: int,
            results: List[str]) -> None:
    """Write pictures, labels and results of images of one value."""
    from yolo_world_rep.inference import Result
    from yolo_world_rep.inference.writing import Writer
    image = np.full((64, 96, 3), value, np.uint8)

    def write() -> None:
        writer = Writer(place / 'p', place / 't', place / 'r.json')
        for index in range(ROUNDS):
            writer.add(Result(
                np.array([[value, 2, value + 9, 22]], 'f4'),
                np.array([0.5], 'f4'), np.array([0]), (name, ), (64, 96),
                path=Path(f'{index}.png'), index=index, pixels=image))
        writer.close()

    barrier.wait()
    _outcome(results, write)


def overwrite_for_ever(barrier: Any, folder: Path) -> None:
    """Write one of two checkpoints and embeddings over the other."""
    import torch

    from yolo_world_rep.reparam import save_checkpoint
    from yolo_world_rep.text import save_embeddings
    barrier.wait()
    number = 0
    while not (folder / 'enough').exists():
        number += 1
        value = number % 2
        save_checkpoint(
            folder / 'm.pth',
            {'neck.a': torch.full((20_000, ), float(value)),
             'neck.b': torch.full((20_000, ), float(value))},
            dict(epoch=value))
        save_embeddings(folder / 'e.npy', np.full((2, 64), value + 1.),
                        [f'{value} a', f'{value} b'])


def die_half_way(barrier: Any, folder: Path) -> None:
    """Convert, and wait in the middle of writing to be killed."""
    import time

    from yolo_world_rep.reparam import convert_checkpoint
    whole = Path.write_bytes

    def half(path: Path, data: Any) -> None:
        whole(path, data[:len(data) // 2])
        barrier.wait()
        time.sleep(600)

    Path.write_bytes = half
    convert_checkpoint(folder / 'm.pth', folder / 't.npy', folder / 'out')
