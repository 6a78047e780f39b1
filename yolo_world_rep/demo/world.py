"""The demo's data: three sets of images and the embeddings of the words."""
import json
import shutil
from pathlib import Path
from typing import (
    Callable,
    Dict,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ..datasets.shapes import (
    ANNOTATION_FILE,
    all_pairs,
    seen_pairs,
    write_dataset,
)
from ..text import WordEncoder, load_embeddings, save_embeddings
from ..utils.files import PathLike
from .small_coco import write_classes

TEXT_CHANNELS = 128
EMBEDDINGS = 'all_pairs.npy'
TUNE, TUNE_VAL = 'tune', 'tune_val'
TUNED, HELD_OUT = 'tuned.npy', 'held_out.npy'


class Sizes(NamedTuple):
    """Number of images.

    Args:
        train (int): Without the unseen pairs, for the text-conditioned
            model. Defaults to 1600.
        val (int): With all pairs, to evaluate. Defaults to 200.
        finetune (int): With all pairs, to fine-tune. Defaults to 320.
    """
    train: int = 1600
    val: int = 200
    finetune: int = 320


def make_world(root: PathLike,
               sizes: Sizes,
               seed: int = 0,
               on_image: Callable[[], None] = lambda: None) -> Path:
    """Write the images and the embeddings that the demo's configs name.

    Args:
        root (str | Path): Folder of the data.
        sizes (Sizes): Numbers of images.
        seed (int): Another seed gives other images; the words keep their
            embeddings. Defaults to 0.
        on_image (Callable): Called after each image.

    Returns:
        Path: The embeddings of all pairs, in the order of the labels.
    """
    root = Path(root)
    pairs: Dict[str, tuple] = dict(
        train=seen_pairs(), val=all_pairs(), finetune=all_pairs())
    for number, (name, count) in enumerate(sizes._asdict().items()):
        write_dataset(
            root / name,
            count,
            pairs[name], (seed, number),
            on_image=on_image)
    names = all_pairs()
    save_embeddings(
        root / EMBEDDINGS,
        WordEncoder(TEXT_CHANNELS).encode(names),
        names,
        encoder=f'WordEncoder(dim={TEXT_CHANNELS}, seed=0)')
    return root / EMBEDDINGS


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
