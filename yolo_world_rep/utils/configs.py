"""Where the configs of this package lie."""
import os
from pathlib import Path

from .files import PathLike

# A file that the folder is known by.
SIGN = Path('_base_', 'finetune_recipe.py')


def config_root() -> Path:
    """The folder of the configs: of the checkout, else of the package.

    A wheel carries them in ``yolo_world_rep/.mim``, as mim expects it.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package.parent / 'configs', package / '.mim' / 'configs')
    for place in places:
        if (place / SIGN).is_file():
            return place
    raise ValueError(f'The configs of yolo_world_rep are neither in '
                     f'{places[0]} nor in {places[1]}: install the package '
                     f'again.')


def base_reference(base: PathLike, out: PathLike) -> str:
    """How a config at ``out`` names ``base`` in its ``_base_``.

    Relative for two files of one checkout, which may be moved.
    """
    base, out = (Path(os.path.abspath(path)) for path in (base, out))
    checkout = config_root().parent
    if checkout.name != '.mim' and checkout in out.parents:
        return Path(os.path.relpath(base, out.parent)).as_posix()
    return base.as_posix()
