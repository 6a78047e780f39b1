"""The demo's data: three sets of images and the embeddings of the words."""
from pathlib import Path
from typing import Callable, Dict, NamedTuple

from ..datasets.shapes import all_pairs, seen_pairs, write_dataset
from ..text import WordEncoder, save_embeddings
from ..utils.files import PathLike

TEXT_CHANNELS = 128
EMBEDDINGS = 'all_pairs.npy'


class Sizes(NamedTuple):
    """Number of images; those to train with have no unseen pairs."""
    train: int = 1600
    val: int = 200
    finetune: int = 320


def make_world(root: PathLike, sizes: Sizes, seed: int = 0,
               on_image: Callable[[], None] = lambda: None) -> Path:
    """Write the images and the embeddings that the demo's configs name.

    Another seed gives other images; the words keep their embeddings.
    """
    root = Path(root)
    pairs: Dict[str, tuple] = dict(
        train=seen_pairs(), val=all_pairs(), finetune=all_pairs())
    for number, (name, count) in enumerate(sizes._asdict().items()):
        write_dataset(root / name, count, pairs[name], (seed, number),
                      on_image=on_image)
    names = all_pairs()
    save_embeddings(
        root / EMBEDDINGS, WordEncoder(TEXT_CHANNELS).encode(names), names,
        encoder=f'WordEncoder(dim={TEXT_CHANNELS}, seed=0)')
    return root / EMBEDDINGS
