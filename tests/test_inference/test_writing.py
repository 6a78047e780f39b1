import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolo_world_rep.inference import Result
from yolo_world_rep.inference.writing import Writer


def result(name, index=0, label=0, **changes):
    return Result(
        np.array([[1, 2, 11, 22]], 'f4'), np.array([0.5], 'f4'),
        np.array([label]), ('../../evil', '/etc/passwd'), (40, 60),
        **dict(
            dict(
                path=Path(name),
                index=index,
                pixels=np.zeros((40, 60, 3), np.uint8)), **changes))


def listing(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob('*')
        if path.is_file())


def write(tmp_path, *results):
    writer = Writer(tmp_path / 'p', tmp_path / 't', tmp_path / 'j/r.json')
    for each in results:
        writer.add(each)
    writer.close()
    return json.loads((tmp_path / 'j/r.json').read_text())


def test_all_forms(tmp_path):
    rows = write(tmp_path, result('x/12.png', 0), result('x/7.png', 1, 1))
    assert listing(tmp_path) == [
        'j/r.json', 'p/12.jpg', 'p/7.jpg', 't/12.txt', 't/7.txt'
    ]
    assert [row['image_id'] for row in rows] == [12, 7]
    assert rows[1] == dict(
        image_id=7,
        category_id=1,
        bbox=[1, 2, 10, 20],
        score=0.5,
        file_name='7.png',
        category_name='/etc/passwd')
    assert cv2.imread(str(tmp_path / 'p/12.jpg')).shape == (40, 60, 3)


@pytest.mark.parametrize('stems', [('12', 'a'), ('1', '01'), ('²', '1')])
def test_ids_are_places_where_names_are_no_numbers(tmp_path, stems):
    rows = write(tmp_path, *(
        result(f'{stem}.png', place) for place, stem in enumerate(stems, 3)))
    assert [row['image_id'] for row in rows] == [3, 4]


def test_images_of_one_name_get_files_of_their_own(tmp_path):
    write(tmp_path, result('a/x.png'), result('b/x.png', 1),
          result('b/X.png', 2))
    assert listing(tmp_path / 'p') == ['X-3.jpg', 'x-2.jpg', 'x.jpg']


def test_frames(tmp_path):
    rows = write(tmp_path, result('f.mp4', 0, frame=0),
                 result('f.mp4', 1, frame=1))
    assert listing(tmp_path / 't') == ['f_000000.txt', 'f_000001.txt']
    assert [(row['image_id'], row['frame']) for row in rows] == [(0, 0),
                                                                 (1, 1)]


def test_names_of_classes_are_no_paths(tmp_path):
    inside = tmp_path / 'deep/er'
    write(inside, result('a.png'), result('b.png', 1, 1))
    assert all(name.startswith('deep/er/') for name in listing(tmp_path))


def test_pictures_are_not_written_among_the_images(tmp_path):
    with pytest.raises(ValueError, match='Choose another folder'):
        Writer(tmp_path, sources=[tmp_path / 'x.png'])


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='no folder can be made'):
        Writer(tmp_path / 'file')
    with pytest.raises(ValueError, match='this is a folder'):
        Writer(json_file=tmp_path)


def test_nothing_is_left_of_results_that_were_not_closed(tmp_path):
    Writer(json_file=tmp_path / 'r.json').add(result('a.png'))
    assert listing(tmp_path) == []
