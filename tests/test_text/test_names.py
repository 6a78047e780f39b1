import json
from types import SimpleNamespace

from yolo_world_rep.text.names import (
    annotation_names,
    name_differences,
    names_of,
)


def test_names_of_a_metainfo():
    assert names_of(dict(classes=['a', 'b'])) == ('a', 'b')
    assert names_of(dict(classes='cat')) == ('cat', )  # not 'c', 'a', 't'
    assert names_of({}) is None
    assert names_of(None) is None


def test_annotation_names_follow_the_file_and_not_the_metainfo(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(
        json.dumps(
            dict(categories=[
                dict(id=7, name='dog'),
                dict(id=2, name='cat'),
                dict(id=9, name='cow')
            ])))
    dataset = SimpleNamespace(ann_file=str(path), cat_ids=[7, 2])
    assert annotation_names(dataset) == ('dog', 'cat')
    assert annotation_names(SimpleNamespace(ann_file=str(path))) is None


def test_differences_are_told_in_words():
    assert name_differences(('a', 'b'), ['a', 'b']) == ''
    text = name_differences(('a', 'b'), ('a', 'c', 'd'))
    assert '2 against 3 names' in text
    assert 'only the former has \'b\'' in text
    assert 'only the latter has \'c\', \'d\'' in text
    text = name_differences(('a', 'b', 'c'), ('a', 'c', 'b'))
    assert 'another order' in text
    assert 'number 1: \'b\' against \'c\'' in text
    assert 'nothing' in name_differences(('a', 'a'), ('a', ))
