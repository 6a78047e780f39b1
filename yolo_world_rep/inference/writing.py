"""Results as files: pictures, label files, one COCO results file."""
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set

import cv2

from yolo_world_rep.utils.files import PathLike, atomic_path, remove_empty

from .coco_ids import CocoIds
from .fonts import check_font
from .results import Result

PICTURE = '.jpg'


class Writer:
    """Writes what was found: pictures, label files and a COCO results file.

    Files are named after the images; where two have the same name, the second
    one's get ``-2`` behind it. ``image_id`` is the number that an image's name
    is, where all names are different numbers, else its place among the images,
    from 0; with ``ids``, it and ``category_id`` are those of a COCO file.
    Pictures are drawn with ``font`` and ``max_drawn`` of :meth:`Result.plot`.
    As a context manager it takes back new files if an error ends it.
    """

    def __init__(self, save_dir: Optional[PathLike] = None,
                 txt_dir: Optional[PathLike] = None,
                 json_file: Optional[PathLike] = None,
                 sources: Iterable[PathLike] = (),
                 font: Optional[str] = None,
                 max_drawn: int = 100,
                 ids: Optional[CocoIds] = None) -> None:
        check_font(font)
        self._drawing: Dict[str, Any] = dict(font=font, max_drawn=max_drawn)
        self.save_dir, self.txt_dir, self.json_file = (
            None if path is None else Path(path)
            for path in (save_dir, txt_dir, json_file))
        if self.json_file is not None and self.json_file.is_dir():
            raise ValueError(f'json {json_file}: this is a folder; expected '
                             f'the name of a file.')
        #: What is there because of this one, files and folders.
        self._made: List[Path] = []
        folders = {os.path.realpath(Path(path).parent) for path in sources}
        if self.save_dir and os.path.realpath(self.save_dir) in folders:
            raise ValueError(
                f'`save_dir` {save_dir}: images lie there, which pictures '
                f'could be written over. Choose another folder.')
        for folder in (self.save_dir, self.txt_dir, self.json_file
                       and self.json_file.parent):
            if folder is not None:
                self._made += [each for each in (folder, *folder.parents)
                               if not each.exists()]
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise ValueError(f'{folder}: no folder can be made there '
                                     f'({error.strerror}).') from error
        self._ids = ids
        self._rows: List[Dict[str, Any]] = []
        self._images: Dict[int, str] = {}
        self._names: Set[str] = set()

    def add(self, result: Result) -> None:
        name = self._name_of(result)
        if self.save_dir is not None:
            self._write(self.save_dir / f'{name}{PICTURE}',
                        cv2.imencode(PICTURE, result.plot(**self._drawing)
                                     )[1].tobytes())
        if self.txt_dir is not None:
            self._write(self.txt_dir / f'{name}.txt',
                        result.to_txt().encode('utf-8'))
        if self._ids is not None:
            self._rows += self._ids.rows(result)
        elif self.json_file is not None:
            self._images[result.index] = result.stem
            for row in result.to_coco(result.index):
                self._rows.append(dict(
                    row,
                    file_name=result.path.name if result.path else None,
                    category_name=result.names[row['category_id']]))
                if result.frame is not None:
                    self._rows[-1]['frame'] = result.frame

    def close(self) -> None:
        """Write the results file."""
        if self.json_file is None:
            return
        rows = self._rows
        if self._ids is None:
            ids = _numbers(self._images)
            rows = [dict(row, image_id=ids[row['image_id']]) for row in rows]
        self._write(self.json_file, json.dumps(rows).encode('utf-8'))

    def __enter__(self) -> 'Writer':
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        """Leave nothing new where an error ends the work."""
        if kind is not None and issubclass(kind, Exception):
            folders = [path for path in self._made if path.is_dir()]
            for path in self._made:
                if path not in folders:
                    path.unlink(missing_ok=True)
            for folder in sorted(folders, reverse=True):
                remove_empty([folder])

    def _write(self, path: Path, data: bytes) -> None:
        new = not path.exists()
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        if new:
            self._made.append(path)

    def _name_of(self, result: Result) -> str:
        name, count = result.stem, 1
        # Some file systems take A and a for the same.
        while name.casefold() in self._names:
            count += 1
            name = f'{result.stem}-{count}'
        self._names.add(name.casefold())
        return name


def _numbers(stems: Dict[int, str]) -> Dict[int, int]:
    """The id of each image by its place."""
    if all(stem.isascii() and stem.isdigit() for stem in stems.values()):
        numbers = {place: int(stem) for place, stem in stems.items()}
        if len(set(numbers.values())) == len(numbers):
            return numbers
    return {place: place for place in stems}
