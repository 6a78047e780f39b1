"""The ids of a COCO file, for results that are to be compared with it."""
from collections import defaultdict
from pathlib import Path, PureWindowsPath
from typing import Any, Dict, List, Sequence, Tuple

from yolo_world_rep.utils.files import PathLike, parse_json, require_regular

from .results import Result


class CocoIds:
    """Images and categories of a COCO file, found by their names.

    A ``ValueError`` says that the file cannot be read.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = require_regular(path)
        self._images: Dict[str, List[Tuple[Tuple[str, ...], Any]]] = (
            defaultdict(list))
        try:
            content = parse_json(self.path.read_text(encoding='utf-8'),
                                 unique=False)
            for image in content['images']:
                # Which takes both kinds of slashes.
                parts = PureWindowsPath(image['file_name']).parts
                self._images[parts[-1]].append((parts, image['id']))
            self._categories = {
                each['name']: each['id'] for each in content['categories']}
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f'{self.path} is no COCO file with images and categories: '
                f'{error}.') from None

    def categories(self, names: Sequence[str]) -> List[Any]:
        """Ids of classes; one that the file does not have is an error."""
        missing = [name for name in names if name not in self._categories]
        if missing:
            raise ValueError(
                f'{self.path} has no category {missing[0]!r}, a class of the '
                f'model ({len(missing)} are missing). Choose those that it '
                f'has with `only`.')
        return [self._categories[name] for name in names]

    def image(self, path: Path) -> Any:
        """Id of an image; of several of its name, the one in its folders."""
        found = self._images.get(path.name, [])
        parts = path.absolute().parts
        alike = [each for each in found if parts[-len(each[0]):] == each[0]]
        ids = {number for _, number in alike or found}
        if len(ids) != 1:
            raise ValueError(
                f'{path}: {self.path} has {len(ids)} images of that name; '
                f'expected one. Leave out images that it does not list.')
        return ids.pop()

    def rows(self, result: Result) -> List[Dict[str, Any]]:
        """A result's rows with the file's ids."""
        names = sorted(set(result.label_names))
        ids = dict(zip(names, self.categories(names)))
        assert result.path is not None
        return [dict(row, category_id=ids[name]) for row, name in zip(
            result.to_coco(self.image(result.path)), result.label_names)]
