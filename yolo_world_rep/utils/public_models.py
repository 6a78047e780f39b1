"""The public checkpoints by short names, fetched from the Hugging Face hub.

The table is public_models.txt. The hub's own library has the cache, the
progress bar, the mirrors (``HF_ENDPOINT``) and the offline mode
(``HF_HUB_OFFLINE``).
"""
import difflib
import os
import re
from functools import cache
from pathlib import Path
from typing import Dict, NamedTuple

from .files import PathLike, sha256_of_file

HUB = 'https://huggingface.co'
# An ending that is one of a file, as -v2.1-s is not.
SUFFIX = re.compile(r'\.[A-Za-z]\w*$')


class PublicModel(NamedTuple):
    """A row: ``runs`` is 'yes', 'config' (only with one) or 'no'."""
    name: str
    family: str
    size: str
    image: str
    texts: str
    runs: str
    licence: str
    repository: str
    file: str

    @property
    def by_hand(self) -> str:
        """How to get the file on another machine, in words."""
        return (f'Fetch {HUB}/{self.repository}/resolve/main/{self.file} on '
                f'a machine that reaches it, copy the file here, and give '
                f'its path instead of the name.')


@cache
def public_models() -> Dict[str, PublicModel]:
    """All rows of the table, by name."""
    table = Path(__file__).with_suffix('.txt').read_text(encoding='utf-8')
    rows = [PublicModel(*line.split()) for line in table.splitlines()
            if not line.startswith('#')]
    return {row.name: row for row in rows}


def path_of(model: PathLike) -> Path:
    """The path of a model: of a file, or of the public one of that name.

    An existing file goes before a name, and what looks like a path stays
    one. Errors are those of :func:`fetch`.
    """
    text = str(model)
    is_path = os.path.exists(text) or os.path.basename(text) != text or (
        SUFFIX.search(text))
    return Path(model) if is_path else fetch(text)


def fetch(name: str) -> Path:
    """The file of a public model, in the hub's cache; downloaded once.

    ``fetch('yolo-world-v2-s')`` gives the path of a ``.pth``.

    Raises:
        ValueError: If there is no such model, its family cannot be read yet,
            the hub is out of reach, or what arrives is not what it announced.
        ImportError: If huggingface_hub is not installed.
    """
    model = public_models().get(name)
    if model is None:
        near = difflib.get_close_matches(name.lower(), public_models(), 1)
        hint = f' Did you mean {near[0]}?' if near else ''
        raise ValueError(f'model {name}: neither a file nor the name of a '
                         f'public model.{hint} yolo-world-rep download '
                         f'--list lists the names.')
    if model.runs == 'no':
        raise ValueError(f'{name} is a {model.family.upper()}, a family that '
                         f'this package cannot read yet.')
    try:
        from huggingface_hub import (
            get_hf_file_metadata,
            hf_hub_download,
            hf_hub_url,
        )
    except ImportError as error:
        raise ImportError(
            f'{name} is fetched by huggingface_hub: pip install '
            f'"yolo_world_rep[hub]". {model.by_hand}') from error
    place = (model.repository, model.file)
    try:
        return Path(hf_hub_download(*place, local_files_only=True))
    except FileNotFoundError:  # not in the cache
        pass
    try:
        announced = get_hf_file_metadata(hf_hub_url(*place)).etag or ''
        path = Path(hf_hub_download(*place))
    except Exception as error:  # of requests, httpx or its own
        reason = str(error.__cause__ or error).strip().partition('\n')[0]
        raise ValueError(f'{name} was not downloaded ({reason[:200]}). '
                         f'{model.by_hand}') from error
    # Of a large file it is the SHA-256, which the library does not check.
    if len(announced) == 64 and sha256_of_file(path) != announced:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ValueError(f'{name}: {model.file} arrived damaged (its SHA-256 '
                         f'is not the one that the hub announced) and was '
                         f'removed. Download it again.')
    return path
