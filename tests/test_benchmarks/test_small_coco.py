import json

import cv2
import numpy as np
import pytest
from small_coco import (
    shrink,
    write_classes,
    write_small_coco,
)

from yolo_world_rep.datasets.shapes import ShapesDataset


def _coco(folder, count=3):
    """Wide images with a white box, and one image without any."""
    images, annotations = [], []
    for number in range(count):
        image = np.zeros((40, 80, 3), np.uint8)
        image[10:30, 20:60] = 255
        cv2.imwrite(str(folder / f'{number}.jpg'), image)
        images.append(
            dict(id=number, file_name=f'{number}.jpg', height=40, width=80))
        if number == 1:
            continue
        # The second is too small once shrunk, the third a crowd.
        for box, crowd in (((20, 10, 40, 20), 0), ((0, 0, 9, 9), 0),
                           ((0, 0, 80, 40), 1)):
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=number,
                    category_id=7,
                    bbox=box,
                    iscrowd=crowd))
    path = folder / 'coco.json'
    path.write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=5, name='cat'), dict(id=7, name='dog')])))
    return path


def test_boxes_shrink_with_the_image():
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:30, 20:60] = 255
    square, boxes = shrink(image, np.array([[20., 10., 40., 20.]]), 40)
    assert square.shape == (40, 40, 3)
    x, y, width, height = boxes[0].astype(int)
    assert (square[y:y + height, x:x + width] == 255).all()
    assert (square == 255).sum() == 3 * width * height
    assert (square[20:] == 114).all()


def test_folder_is_what_the_dataset_reads(tmp_path):
    path = _coco(tmp_path)
    folder = write_small_coco(path, tmp_path, tmp_path / 'out', slice(0, 2),
                              side=60)
    dataset = ShapesDataset(data_root=str(folder), pipeline=[])
    dataset.full_init()
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    # The image without boxes does not count.
    assert [info['img_id'] for info in dataset.load_data_list()] == [0, 2]
    instances = dataset.get_data_info(0)['instances']
    assert [each['bbox'] for each in instances] == [[15., 7.5, 45., 22.5]]
    assert instances[0]['bbox_label'] == 1


def test_an_image_that_is_not_there_is_named(tmp_path):
    path = _coco(tmp_path)
    with pytest.raises(ValueError, match='0.jpg: not an image'):
        write_small_coco(path, tmp_path / 'none', tmp_path / 'out', slice(1))


def test_names_change_and_ids_stay(tmp_path):
    path = _coco(tmp_path)
    write_classes(tmp_path, json.loads(path.read_text()), ['dax', 'wug'])
    coco = json.loads((tmp_path / 'annotations.json').read_text())
    assert [(c['id'], c['name']) for c in coco['categories']
            ] == [(5, 'dax'), (7, 'wug')]
    assert json.loads((tmp_path / 'texts.json').read_text()) == [['dax'],
                                                                 ['wug']]
