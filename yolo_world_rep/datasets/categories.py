"""Which categories of a data set are classes, and in which order."""
import shlex
from dataclasses import replace
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Sequence

from ..text.names import name_differences
from ..utils.wording import near_names
from .annotations import Annotations, Finding, listed


class CategoryChoice(NamedTuple):
    """What becomes of categories: joined, then left out, then kept alone.

    ``only`` is the order, too; ``join_classes`` has the new names, each with
    the names that become it.
    """
    only: Sequence[str] = ()
    drop_class: Sequence[str] = ()
    join_classes: Mapping[str, Sequence[str]] = {}


def _require(wanted: Sequence[str], names: Sequence[str], option: str) -> None:
    for name in wanted:
        if name not in names:
            raise ValueError(f'`{option}` {name!r}: the data have no such '
                             f'class. {near_names(name, names)}')


def choose(data: Annotations, choice: CategoryChoice) -> Annotations:
    """The data with the categories that were chosen; a finding says which.

    A ``ValueError`` names a category that the data do not have.
    """
    if not any(choice):
        return data
    names: Dict[Any, str] = {
        each['id']: each['name'] for each in data.categories}
    for new, parts in choice.join_classes.items():
        _require(parts, data.names, 'join_classes')
        names = {key: new if name in parts else name
                 for key, name in names.items()}
    order = list(dict.fromkeys(names.values()))
    _require(choice.drop_class, order, 'drop_class')
    order = [name for name in order if name not in choice.drop_class]
    _require(choice.only, order, 'only')
    order = list(dict.fromkeys(choice.only)) or order
    if not order:
        raise ValueError('`drop_class` leaves no class.')
    return _with_categories(data, names, order, Finding(
        'note', f'classes as chosen: {listed(order)}.'))


def in_order(data: Annotations, names: Sequence[str], of: str) -> Annotations:
    """The data with their classes in the order of others, if the same."""
    if data.names == tuple(names) or set(data.names) != set(names):
        return data
    return _with_categories(data, {
        each['id']: each['name'] for each in data.categories}, names, Finding(
            'warning', f'the classes are taken in the order of {of}: '
            f'{name_differences(data.names, names)}.'))


def _with_categories(data: Annotations, names: Mapping[Any, str],
                     order: Sequence[str], finding: Finding) -> Annotations:
    """The categories in an order, by ``names`` of their ids."""
    ids: Dict[str, Any] = {}
    for key, name in names.items():
        ids.setdefault(name, key)
    entries = {each['id']: each for each in data.categories}
    kept = set(order)
    # What no category has is for the checks to see.
    boxes = [
        {**box, 'category_id': ids.get(names.get(box['category_id']),
                                       box['category_id'])}
        for box in data.boxes
        if names.get(box['category_id'], order[0]) in kept]
    return replace(
        data, boxes=boxes, changed=True, findings=(*data.findings, finding),
        categories=[{**entries[ids[name]], 'name': name} for name in order])


def superclass_findings(splits: Sequence[Annotations],
                        choice: CategoryChoice) -> Iterator[Finding]:
    """Names the categories that are no classes in any of the splits."""
    parents = {str(each.get('supercategory')) for data in splits
               for each in data.categories
               if each.get('supercategory') != each['name']}
    names = [name for name in splits[0].names
             if name in parents.difference(choice.only)
             and not any(data.boxes_of_class.get(name) for data in splits)]
    if names:
        yield Finding(
            'error', f'{listed(map(repr, names))}: a category without boxes '
            f'that others name as their supercategory, as in exports of '
            f'Roboflow. It is no class of its own: leave it out by '
            f'`drop_class` {shlex.join(names)}.')
