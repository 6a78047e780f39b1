import pytest

from yolo_world_rep.text import class_names, load_class_texts
from yolo_world_rep.text.vocabulary import tidy_names


def test_lists_of_synonyms_and_plain_lists_are_read(tmp_path):
    path = tmp_path / 'texts.json'
    path.write_text('[["sofa", "couch"], "cat"]')
    texts = load_class_texts(path)
    assert texts == [['sofa', 'couch'], ['cat']]
    assert class_names(texts) == ('sofa', 'cat')


@pytest.mark.parametrize('content, message', [
    ('{"a": 1}', 'got dict'),
    ('"cat"', 'got str'),
    ('[]', 'empty'),
    ('[["cat"], []]', r'entry 1 is \[\]'),
    ('[["cat"], [3]]', r'entry 1 is \[3\]'),
    ('[["cat"],', 'not valid JSON'),
])
def test_anything_else_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / 'texts.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=f'texts.json.*{message}'):
        load_class_texts(path)


def test_missing_file_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match='none.json.*cannot be read'):
        load_class_texts(tmp_path / 'none.json')


def test_real_class_texts_load(shared_data):
    texts = load_class_texts(shared_data / 'embeddings' / 'coco80_texts.json')
    assert len(texts) == 80
    assert class_names(texts)[:2] == ('person', 'bicycle')


@pytest.mark.parametrize(('text', 'names'), [
    ('person,dog,traffic light', 'person|dog|traffic light'),
    ('["person", "dog"]', 'person|dog'),
    ('person,\ndog,\ncat', 'person|dog|cat'),
    ("'person'\n'dog'", 'person|dog'),
    ('0: person\n1: dog', 'person|dog'),
    ('1. person\n2. dog', 'person|dog'),
    ('# all of it\nperson\n#1', 'person|#1'),
])
def test_names_as_people_write_them(tmp_path, caplog, text, names):
    path = tmp_path / 'names.txt'
    path.write_text(text)
    expected = names.split('|')
    assert load_class_texts(path) == [[name] for name in expected]
    found, remark = tidy_names(text.split('\n'))
    assert found == expected
    assert f'read as {len(expected)} name(s)' in remark


@pytest.mark.parametrize('lines', [
    ['person', 'dog'], ['cat, small', 'dog'], ["rock 'n' roll", "'t"],
    ['2: a', '4: b'], ['#1', '2'], ['a', '', 'b']])
def test_names_that_are_plain(lines):
    assert tidy_names([*lines, '']) == (lines, '')
