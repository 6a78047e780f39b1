import contextlib
import io
import json
import math

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import encode

from yolo_world_rep.detector.evaluation import evaluate
from yolo_world_rep.inference import Backend, Predictor, Spec

SIZE = (64, 96)
NAMES = ('cat', 'dog', 'owl')
# The file numbers and orders its categories in its own way.
CATEGORIES = [
    dict(id=7, name='owl'),
    dict(id=3, name='cat'),
    dict(id=5, name='dog')
]


class Recall(Backend):
    """Gives back boxes by the first pixel of the image."""

    def __init__(self, answers, names=NAMES):
        super().__init__(
            Spec(
                names,
                SIZE,
                contract='nms',
                mean=(0, 0, 0),
                std=(1, 1, 1),
                pad_value=0,
                resize='letter',
                max_detections=4), 'recall.test')
        self.answers = answers

    def _run(self, images):
        rows = self.answers[int(images.max())]
        boxes = np.zeros((1, 4, 4), 'f4')
        scores = np.zeros((1, 4), 'f4')
        labels = np.full((1, 4), -1)
        for index, (box, score, label) in enumerate(rows):
            boxes[0, index], scores[0, index] = box, score
            labels[0, index] = label
        return np.array([[len(rows)]]), boxes, scores, labels


TRUTH = {
    1: [((10, 10, 40, 40), 0), ((50, 5, 80, 60), 2)],
    2: [((0, 0, 20, 20), 1), ((30, 30, 60, 50), 1)],
    3: [((5, 5, 15, 15), 2)],
}


@pytest.fixture
def dataset(tmp_path):
    ids = {category['name']: category['id'] for category in CATEGORIES}
    annotations = []
    for image, objects in TRUTH.items():
        cv2.imwrite(
            str(tmp_path / f'{image}.png'),
            np.full((*SIZE, 3), image, np.uint8))
        for (x1, y1, x2, y2), label in objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image * 10,
                    category_id=ids[NAMES[label]],
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=0))
    path = tmp_path / 'truth.json'
    path.write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=image * 10, file_name=f'{image}.png', height=64,
                         width=96) for image in TRUTH
                ],
                annotations=annotations,
                categories=CATEGORIES)))
    return path, tmp_path


PERFECT = {
    image: [(box, 0.9, label) for box, label in objects]
    for image, objects in TRUTH.items()
}
FAIR = {
    1: [((12, 10, 40, 42), .8, 0), ((10, 10, 40, 40), .3, 1)],
    2: [((0, 0, 20, 20), .9, 1), ((30, 32, 60, 50), .6, 1),
        ((70, 40, 90, 60), .5, 0)],
    3: [((5, 6, 15, 16), .7, 2)],
}


def test_perfect_detections_are_perfect(dataset):
    scores = evaluate(Predictor(Recall(PERFECT)), *dataset, per_class=True)
    assert scores['AP'] == pytest.approx(1)
    assert scores['per_class'] == pytest.approx(dict.fromkeys(NAMES, 1))
    assert (scores['images'], scores['detections']) == (3, 5)
    assert math.isnan(scores['AP_large'])


class RecallMasks(Recall):
    """The same with masks: the whole box, or nothing."""

    def __init__(self, answers, share=10.):
        super().__init__(answers)
        self.spec = self.spec.with_(mask_channels=1)
        self.share = share

    def _run(self, images):
        coefficients = np.full((1, 4, 1), self.share, 'f4')
        prototypes = np.ones((1, 1, SIZE[0] // 4, SIZE[1] // 4), 'f4')
        return (*super()._run(images), coefficients, prototypes)


def with_masks(path, count=None):
    """Each box of the truth is a mask, too, or the first so many."""
    truth = json.loads(path.read_text())
    for box in truth['annotations'][:count]:
        x, y, w, h = box['bbox']
        box['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    path.write_text(json.dumps(truth))


def test_masks_are_judged_beside_boxes(dataset):
    with_masks(dataset[0])
    scores = evaluate(Predictor(RecallMasks(PERFECT)), *dataset)
    assert scores['AP'] == scores['segm_AP'] == pytest.approx(1)
    assert math.isnan(scores['segm_AP_large'])
    # Boxes as good, and nothing in them.
    empty = evaluate(Predictor(RecallMasks(PERFECT, -10.)), *dataset)
    assert empty['AP'] == pytest.approx(1)
    assert empty['segm_AP'] == empty['segm_AP50'] == 0
    fair = evaluate(Predictor(RecallMasks(FAIR)), *dataset)
    # Boxes with whole pixels and masks of all of them overlap alike.
    assert fair['segm_AP'] == pytest.approx(fair['AP'])
    # A model without masks has boxes alone to judge.
    assert 'segm_AP' not in evaluate(Predictor(Recall(PERFECT)), *dataset)


def test_annotations_without_masks_have_no_ap_of_masks(dataset, monkeypatch):
    said = []
    monkeypatch.setattr('yolo_world_rep.detector.evaluation.print_log',
                        lambda text, *_: said.append(text))
    with_masks(dataset[0], 2)
    scores = evaluate(Predictor(RecallMasks(PERFECT)), *dataset)
    assert scores['AP'] == pytest.approx(1)
    assert 'segm_AP' not in scores
    assert '3 of 5 annotations have no mask' in said[0]


@pytest.mark.parametrize('mask', ['polygon', dict(counts='x')])
def test_masks_that_are_none_are_refused(dataset, mask):
    path, folder = dataset
    with_masks(path)
    truth = json.loads(path.read_text())
    truth['annotations'][1]['segmentation'] = mask
    path.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match=r'annotations\[1\].* has segmenta'):
        evaluate(Predictor(RecallMasks(PERFECT)), path, folder)


def test_the_figures_are_those_of_pycocotools(dataset):
    scores = evaluate(Predictor(Recall(FAIR)), *dataset)
    ids = [3, 5, 7]
    rows = [
        dict(
            image_id=image * 10,
            category_id=ids[label],
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=score) for image, found in FAIR.items()
        for (x1, y1, x2, y2), score, label in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset[0]))
        expected = COCOeval(truth, truth.loadRes(rows), 'bbox')
        expected.evaluate()
        expected.accumulate()
        expected.summarize()
    assert 0.2 < scores['AP'] < 0.9
    assert [scores['AP'], scores['AP50'], scores['AP75'], scores['AP_small'],
            scores['AP_medium']] == pytest.approx(
                expected.stats[:5].tolist())


def test_labels_in_another_order_would_be_noticed(dataset):
    wrong = {
        image: [(box, score, (label + 1) % 3) for box, score, label in rows]
        for image, rows in PERFECT.items()
    }
    assert evaluate(Predictor(Recall(wrong)), *dataset)['AP'] < 0.1
    # The same names in another order are the same classes.
    turned = {
        image: [(box, score, NAMES[::-1].index(NAMES[label]))
                for box, score, label in rows]
        for image, rows in PERFECT.items()
    }
    predictor = Predictor(Recall(turned, NAMES[::-1]))
    assert evaluate(predictor, *dataset)['AP'] == pytest.approx(1)


def test_nothing_found_is_zero(dataset):
    nothing = Predictor(Recall(dict.fromkeys(TRUTH, ())))
    scores = evaluate(nothing, *dataset, per_class=True)
    assert scores['AP'] == scores['per_class']['cat'] == 0


@pytest.mark.parametrize('names, message', [
    (('cat', 'dog', 'rat'), 'former has \'rat\'.*latter has \'owl\''),
    (('cat', 'dog'), '2 against 3 names; only the latter has \'owl\''),
    (('cat', 'dog', 'cat'), 'the model has class names twice: ..cat'),
])
def test_other_classes_are_refused_by_name(dataset, names, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Predictor(Recall(PERFECT, names)), *dataset)


def test_missing_images_are_refused(dataset):
    path, folder = dataset
    (folder / '2.png').unlink()
    with pytest.raises(ValueError, match='1 of 3 are missing, such as .*2.p'):
        evaluate(Predictor(Recall(PERFECT)), path, folder)


@pytest.mark.parametrize('content', ['', '[]', '{"images": []}', '{'])
def test_files_that_are_not_coco_are_refused(dataset, content):
    path, folder = dataset
    path.write_text(content)
    with pytest.raises(ValueError, match='truth.json'):
        evaluate(Predictor(Recall(PERFECT)), path, folder)


def test_annotations_need_not_say_that_they_are_no_crowd(dataset):
    path, folder = dataset
    truth = json.loads(path.read_text())
    for box in truth['annotations']:
        del box['iscrowd']
    path.write_text(json.dumps(truth))
    scores = evaluate(Predictor(Recall(PERFECT)), path, folder)
    assert scores['AP'] == pytest.approx(1)


def test_masks_as_run_lengths_and_flat_polygons_count_the_same(dataset):
    with_masks(dataset[0])
    truth = json.loads(dataset[0].read_text())
    first, second, *_ = truth['annotations']
    mask = np.zeros(SIZE, np.uint8)
    mask[10:40, 10:40] = 1
    runs = encode(np.asfortranarray(mask))
    first['segmentation'] = dict(size=runs['size'],
                                 counts=runs['counts'].decode())
    second['segmentation'], = second['segmentation']
    dataset[0].write_text(json.dumps(truth))
    scores = evaluate(Predictor(RecallMasks(PERFECT)), *dataset)
    assert scores['segm_AP'] == pytest.approx(1)
