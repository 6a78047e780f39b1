import pytest

from yolo_world_rep.text import class_names, load_class_texts


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
