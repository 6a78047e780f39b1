import json

import cv2
import numpy as np
import pytest

from yolo_world_rep.datasets import shapes

SIZE = 96


def test_every_word_is_seen_though_not_every_pair():
    seen, unseen = shapes.seen_pairs(), shapes.unseen_pairs()
    assert set(seen) | set(unseen) == set(shapes.all_pairs())
    assert not set(seen) & set(unseen)
    assert len(unseen) == 12
    for word in (*shapes.COLOURS, *shapes.SHAPES):
        assert sum(word in name.split() for name in seen) == 4
        assert sum(word in name.split() for name in unseen) == 2


def test_same_seed_same_scene_and_another_seed_another():
    first, again, other = (
        shapes.make_scene(shapes.all_pairs(), seed, SIZE)
        for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert first.names == again.names
    assert (first.image != other.image).any()


@pytest.mark.parametrize('shape', shapes.SHAPES)
def test_boxes_are_tight_around_what_is_painted(shape):
    for seed in range(5):
        red, blue = (
            shapes.make_scene([f'{colour} {shape}'], (seed, ),
                              SIZE,
                              count=(1, 1)) for colour in ('red', 'blue'))
        np.testing.assert_array_equal(red.boxes, blue.boxes)
        # The same but for the colour: what differs clearly is the shape.
        differs = np.abs(red.image.astype(int) - blue.image).max(-1) > 80
        rows, columns = np.nonzero(differs)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # Pixels that are covered by half may fall on either side.
        assert np.abs(red.boxes[0] - found).max() <= 1


@pytest.mark.parametrize('shape', shapes.SHAPES)
def test_stencils_are_cropped_to_the_shape_and_fill_it(shape):
    for angle in (0., 0.2, -0.5):
        alpha = shapes.stencil(shape, 41.3, angle)
        for border in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
            assert border.max() >= 0.5
        assert 28 < max(alpha.shape) <= 43
        hollow = shape == 'ring'
        centre = alpha[alpha.shape[0] // 2, alpha.shape[1] // 2]
        assert centre == (0 if hollow else 1)


def test_objects_are_inside_and_hide_little_of_each_other():
    for seed in range(20):
        scene = shapes.make_scene(shapes.all_pairs(), (seed, ), SIZE)
        assert len(scene.boxes) == len(scene.names) > 0
        assert scene.boxes.min() >= 0
        assert scene.boxes.max() <= SIZE
        for i, one in enumerate(scene.boxes):
            for other in scene.boxes[:i]:
                sides = np.minimum(one[2:], other[2:]) - np.maximum(
                    one[:2], other[:2])
                smaller = min(
                    np.prod(box[2:] - box[:2]) for box in (one, other))
                assert np.prod(sides.clip(0)) <= 0.15 * smaller


@pytest.mark.parametrize('colour', shapes.COLOURS)
def test_colours_are_nearest_to_their_own_name(colour):
    bgr = np.array([c[::-1] for c in shapes.COLOURS.values()])
    for seed in range(5):
        scene = shapes.make_scene([f'{colour} square'], (seed, ),
                                  SIZE,
                                  count=(1, 1))
        x1, y1, x2, y2 = scene.boxes[0]
        centre = scene.image[(y1 + y2) // 2 - 2:(y1 + y2) // 2 + 3,
                             (x1 + x2) // 2 - 2:(x1 + x2) // 2 + 3]
        distances = np.linalg.norm(bgr - centre.mean((0, 1)), axis=1)
        assert list(shapes.COLOURS)[distances.argmin()] == colour


def test_written_world_reads_back(tmp_path):
    seen, everything = shapes.seen_pairs(), shapes.all_pairs()
    ticks = []
    folder = shapes.write_dataset(
        tmp_path / 'deep' / 'world',
        4,
        seen, (5, 6),
        everything,
        SIZE,
        on_image=lambda: ticks.append(1))

    dataset = shapes.ShapesDataset(str(folder))

    assert len(dataset) == len(ticks) == 4
    assert dataset.metainfo['classes'] == everything
    for index in range(4):
        scene = shapes.make_scene(seen, (5, 6, index), SIZE)
        info = dataset.get_data_info(index)
        boxes = [i['bbox'] for i in info['instances']]
        names = [everything[i['bbox_label']] for i in info['instances']]
        assert boxes == scene.boxes.tolist()
        assert names == list(scene.names)
        error = np.abs(cv2.imread(info['img_path']).astype(int) - scene.image)
        assert error.mean() < 6  # what JPEG does to noise
    texts = json.loads((folder / shapes.TEXT_FILE).read_text())
    assert texts == [[name] for name in everything]
    assert [p.name for p in folder.parent.iterdir()] == ['world']


def test_unseen_pairs_are_never_in_a_training_set(tmp_path):
    folder = shapes.write_dataset(tmp_path / 'train', 30, shapes.seen_pairs(),
                                  (0, 0), None, SIZE)
    coco = json.loads((folder / shapes.ANNOTATION_FILE).read_text())
    names = {c['id']: c['name'] for c in coco['categories']}
    present = {names[a['category_id']] for a in coco['annotations']}
    assert len(present) > 20
    assert not present & set(shapes.unseen_pairs())
    # Nor can they be asked for as negatives.
    assert set(names.values()) == set(shapes.seen_pairs())


def test_an_older_world_is_replaced_and_nothing_else(tmp_path):
    names = shapes.all_pairs()
    folder = shapes.write_dataset(tmp_path / 'a', 2, names, (0, ), None, SIZE)
    shapes.write_dataset(folder, 1, names, (0, ), None, SIZE)
    assert len(list(folder.glob('*.jpg'))) == 1

    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'thesis.txt').write_text('years')
    with pytest.raises(ValueError, match='something else'):
        shapes.write_dataset(tmp_path / 'b', 1, names, (0, ), None, SIZE)
    assert (tmp_path / 'b' / 'thesis.txt').read_text() == 'years'


def test_failure_leaves_no_folder(tmp_path):

    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shapes.write_dataset(
            tmp_path / 'a', 2, shapes.all_pairs(), (0, ), on_image=fail)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"classes: \['red circle'\]"):
        shapes.write_dataset(tmp_path / 'a', 2, ['red circle'], (0, ),
                             ['blue star'])
    with pytest.raises(ValueError, match='holds no generated shapes'):
        shapes.ShapesDataset(str(tmp_path / 'a'))
