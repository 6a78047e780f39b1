"""Folded checkpoints behind the doors of mmdet, mmengine and supervision."""
import cv2
import numpy as np
import pytest
from mmdet.apis import DetInferencer, inference_detector, init_detector
from tiny_deploy import write_files

from yolo_world_rep.inference import Predictor

HEAD = """default_scope = 'mmyolo'
custom_imports = dict(imports=['yolo_world_rep'], allow_failed_imports=False)
visualizer = dict(type='mmdet.DetLocalVisualizer', name='open_doors')
"""


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config as a user has it, its checkpoint, and an image."""
    folder = tmp_path_factory.mktemp('doors')
    files = write_files(folder)
    files.config.write_text(HEAD + files.config.read_text())
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    cv2.imwrite(str(folder / 'image.png'), image)
    return files.config, files.checkpoint, folder / 'image.png'


@pytest.fixture(scope='module')
def expected(files):
    """What our own predictor finds in it."""
    with Predictor(*files[:2]) as predictor:
        return predictor.predict(files[2])[0]


@pytest.fixture(scope='module')
def sample(files):
    config, checkpoint, image = map(str, files)
    return inference_detector(
        init_detector(config, checkpoint, device='cpu'), image)


def test_init_detector_and_inference_detector(sample, expected):
    found = sample.pred_instances
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.bboxes[0], expected.boxes[0], atol=0.1)


def test_det_inferencer(files, expected):
    config, checkpoint, image = map(str, files)
    inferencer = DetInferencer(config, checkpoint, device='cpu',
                               scope='mmyolo', show_progress=False)
    found, = inferencer(image, no_save_vis=True)['predictions']
    np.testing.assert_allclose(found['scores'], expected.scores, atol=1e-4)


def test_supervision(sample, expected):
    supervision = pytest.importorskip(
        'supervision', reason='supervision is not installed: pip install '
        '"yolo_world_rep[supervision]" to test its door')
    for found in (supervision.Detections.from_mmdetection(sample),
                  expected.to_supervision()):
        assert len(found) == len(expected)
        assert found.class_id[0] == expected.labels[0]
        np.testing.assert_allclose(found.confidence, expected.scores,
                                   atol=1e-4)
