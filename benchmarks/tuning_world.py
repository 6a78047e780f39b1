"""The data of fine-tuning the demo's model: images of some of its pairs."""
import json
import shutil
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from small_coco import write_classes

from yolo_world_rep.datasets.shapes import (
    ANNOTATION_FILE,
    all_pairs,
    seen_pairs,
    write_dataset,
)
from yolo_world_rep.demo.world import (
    EMBEDDINGS,
    TEXT_CHANNELS,
    Sizes,
    make_world,
)
from yolo_world_rep.text import WordEncoder, load_embeddings, save_embeddings
from yolo_world_rep.utils.files import PathLike

TUNE, TUNE_VAL = 'tune', 'tune_val'
TUNED, HELD_OUT = 'tuned.npy', 'held_out.npy'


def pairs_to_tune() -> Tuple[str, ...]:
    """A third of the seen pairs: the red and yellow ones."""
    return tuple(name for name in seen_pairs()
                 if name.split()[0] in ('red', 'yellow'))


def make_tuning_world(root: PathLike,
                      tuned: Sequence[str],
                      seed: int = 0,
                      sizes: Optional[Sizes] = None) -> None:
    """The world, with images of some pairs to tune with.

    Beside what :func:`make_world` writes: ``tune`` and ``tune_val`` with
    those pairs alone, as many as there are in ``finetune`` and ``val``, and
    the embeddings of these and of the others.

    Args:
        root (str | Path): Folder of the data.
        tuned (Sequence[str]): The pairs.
        seed (int): Of the images. Defaults to 0.
        sizes (Sizes, optional): Numbers of images.
    """
    root, sizes = Path(root), sizes or Sizes()
    make_world(root, sizes, seed)
    for number, (name, count) in enumerate(
        ((TUNE, sizes.finetune), (TUNE_VAL, sizes.val))):
        write_dataset(root / name, count, tuned, (seed, 100 + number))
    others = [name for name in all_pairs() if name not in tuned]
    for file, names in ((TUNED, tuned), (HELD_OUT, others)):
        save_embeddings(root / file,
                        WordEncoder(TEXT_CHANNELS).encode(names), names)


def rename_classes(root: PathLike, out: PathLike,
                   names: Mapping[str, str]) -> None:
    """A copy of a world for tuning whose classes have other names.

    Args:
        root (str | Path): Of :func:`make_tuning_world`.
        out (str | Path): Where to.
        names (Mapping[str, str]): Old to new; the others keep theirs.
    """
    root, out = Path(root), Path(out)
    for folder in (TUNE, TUNE_VAL, 'val'):
        shutil.copytree(root / folder, out / folder, dirs_exist_ok=True)
        coco = json.loads(
            (root / folder / ANNOTATION_FILE).read_text(encoding='utf-8'))
        write_classes(out / folder, coco, [
            names.get(category['name'], category['name'])
            for category in coco['categories']
        ])
    for file in (EMBEDDINGS, TUNED, HELD_OUT):
        before = load_embeddings(root / file).names
        renamed = [names.get(name, name) for name in before]
        save_embeddings(out / file,
                        WordEncoder(TEXT_CHANNELS).encode(renamed), renamed)
