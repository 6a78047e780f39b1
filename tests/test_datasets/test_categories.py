"""Which categories become classes, and in which order."""
import pytest

from yolo_world_rep.datasets.annotations import from_content
from yolo_world_rep.datasets.categories import (
    CategoryChoice,
    choose,
    in_order,
    superclass_findings,
)


@pytest.fixture
def data():
    """A root of Roboflow's, and one box of each animal."""
    names = 'animals-abcd', 'cat', 'dog', 'bird'
    return from_content(dict(
        images=[dict(id=1, file_name='a.png', width=90, height=90)],
        annotations=[dict(id=i, image_id=1, category_id=i, iscrowd=0,
                          bbox=[i, 1, 20, 20], area=400) for i in (1, 2, 3)],
        categories=[dict(id=i, name=name, supercategory='animals-abcd' if i
                         else 'none') for i, name in enumerate(names)]),
        'a.json', '')


def boxes(data):
    """The class of each box, by its left side, as mmdet would label it."""
    labels = {each['id']: label for label, each in enumerate(data.categories)}
    return {box['bbox'][0]: data.names[labels[box['category_id']]]
            for box in data.boxes}


def test_only_keeps_and_orders(data):
    chosen = choose(data, CategoryChoice(only=['bird', 'cat']))
    assert chosen.names == ('bird', 'cat')
    assert boxes(chosen) == {1: 'cat', 3: 'bird'}
    assert chosen.changed
    assert len(chosen.images) == 1
    assert data.names[0] == 'animals-abcd'  # what came in stays


def test_dropped_and_joined(data):
    chosen = choose(data, CategoryChoice(
        drop_class=['animals-abcd', 'dog'],
        join_classes=dict(pet=['cat', 'bird'])))
    assert chosen.names == ('pet', )
    assert boxes(chosen) == {1: 'pet', 3: 'pet'}


def test_joined_into_one_that_is_there(data):
    chosen = choose(data, CategoryChoice(join_classes=dict(dog=['cat'])))
    assert chosen.names == ('animals-abcd', 'dog', 'bird')
    assert boxes(chosen) == {1: 'dog', 2: 'dog', 3: 'bird'}


@pytest.mark.parametrize(('choice', 'message'), [
    (dict(only=['cta']), "`only` 'cta': .*Did you mean 'cat'"),
    (dict(drop_class=['x']), "`drop_class` 'x': .*There are, among others"),
    (dict(join_classes=dict(pet=['cat', 'x'])), "`join_classes` 'x'"),
    (dict(drop_class=['animals-abcd', 'cat', 'dog', 'bird']),
     'leaves no class'),
])
def test_what_cannot_be_chosen(data, choice, message):
    with pytest.raises(ValueError, match=message):
        choose(data, CategoryChoice(**choice))


def test_an_order_is_put_right_and_said(data):
    names = 'bird', 'animals-abcd', 'dog', 'cat'
    ordered = in_order(data, names, 'train')
    assert ordered.names == names
    assert boxes(ordered) == {1: 'cat', 2: 'dog', 3: 'bird'}
    assert 'in the order of train' in ordered.findings[-1].text
    assert in_order(data, ('cat', 'dog'), 'train') is data


def test_an_empty_superclass_is_named_with_the_switch(data):
    found, = superclass_findings([data, data], CategoryChoice())
    assert found.level == 'error'
    assert found.text.endswith('leave it out by `drop_class` animals-abcd.')
    # Said to be a class, or with boxes in another split, it is one.
    kept = CategoryChoice(only=data.names)
    assert not list(superclass_findings([data], kept))
    used = choose(data, CategoryChoice(join_classes={'animals-abcd': ['cat']}))
    assert not list(superclass_findings([data, used], CategoryChoice()))
