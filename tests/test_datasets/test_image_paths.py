"""File names of another machine."""
import unicodedata

import pytest

from yolo_world_rep.datasets.annotations import from_content
from yolo_world_rep.datasets.image_paths import found_names, tail_below


@pytest.fixture
def folder(tmp_path):
    for name in ('images/a b.jpg', 'images/c.JPG', 'd.jpg',
                 unicodedata.normalize('NFD', 'é.jpg')):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(('name', 'tail'), [
    ('images\\a b.jpg', 'images/a b.jpg'),
    ('D:\\data\\images\\a b.jpg', 'images/a b.jpg'),
    ('/home/eve/pets/images/a%20b.jpg', 'images/a b.jpg'),
    ('C:d.jpg', 'd.jpg'),
    ('../../d.jpg', 'd.jpg'),
    ('images/c.jpg', 'images/c.JPG'),
    ('é.jpg', unicodedata.normalize('NFD', 'é.jpg')),
    ('e.jpg', ''),
    ('d.jpg\0', ''),
    ('x' * 5000, ''),
])
def test_the_end_of_a_path(folder, name, tail):
    assert tail_below(folder, name) == tail


def test_what_is_there_or_fits_two_is_left(folder):
    assert found_names(folder, ['d.jpg', '/x/d.jpg']) == {}
    assert found_names(folder, ['/y/d.jpg', '/x/d.jpg']) == {}
    assert found_names(folder, ['/x/d.jpg', '/x/e.jpg']) == {
        '/x/d.jpg': 'd.jpg'}
    assert found_names(folder, ['/x/images']) == {}  # no file


def test_annotations_get_the_names_and_say_so(folder):
    content = dict(
        images=[dict(id=i, file_name=name, width=9, height=9) for i, name in
                enumerate(('d.jpg', 'images\\a b.jpg'), 1)],
        annotations=[], categories=[dict(id=1, name='cat')])
    found = from_content(content, 'a.json', folder)
    assert [i['file_name'] for i in found.images] == [
        'd.jpg', 'images/a b.jpg']
    assert found.changed
    assert '1 file name(s)' in found.findings[-1].text
    assert content['images'][1]['file_name'] == 'images\\a b.jpg'
