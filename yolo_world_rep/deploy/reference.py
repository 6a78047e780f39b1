"""Reference detections in PyTorch, by mmyolo's own code.

The measure of an exported file: the config's pipeline, data preprocessor
and post-processing, and the model as it was trained.
"""
import copy
import warnings
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from yolo_world_rep.config.variables import type_name
from yolo_world_rep.datasets.shapes import all_pairs, make_scene
from yolo_world_rep.detector.class_names import test_dataset
from yolo_world_rep.detector.pytorch_backend import flat_outputs
from yolo_world_rep.detector.spec_of_config import LOAD_IMAGE
from yolo_world_rep.inference.postprocess import Detections
from yolo_world_rep.inference.prototypes import encode_mask

# They want files, and add nothing to an image.
FROM_FILES = (*LOAD_IMAGE, 'LoadAnnotations')


class Found(NamedTuple):
    """Raw outputs of an image, batch 1, and detections in its pixels."""
    raw: List[np.ndarray]
    detections: Detections


def built_in_images() -> List[np.ndarray]:
    """A wide and a high picture of shapes, and noise; uint8, BGR."""
    scenes = [make_scene(all_pairs(), (7, number), 480).image
              for number in range(2)]
    noise = np.random.RandomState(0).randint(0, 256, (200, 320, 3))
    return [scenes[0][:330], scenes[1][:, :290], noise.astype(np.uint8)]


class Reference:
    """A config's detector in PyTorch, not fused, at a size (height, width)."""

    def __init__(self, cfg: Config, model: nn.Module,
                 size: Tuple[int, int]) -> None:
        pipeline = next(layer['pipeline'] for layer in test_dataset(cfg)
                        if layer.get('pipeline'))
        steps = [copy.deepcopy(step) for step in pipeline
                 if type_name(step) not in FROM_FILES]
        for step in steps:
            if 'scale' in step:
                step['scale'] = (size[1], size[0])
        with DefaultScope.overwrite_default_scope('mmyolo'):
            self.pipeline = Compose(steps)
        self.model = model.eval()

    @torch.no_grad()
    def __call__(self, image: np.ndarray,
                 threshold: Optional[float] = None) -> Found:
        """Detect in an image (h, w, 3), uint8, BGR.

        A threshold of the scores takes the place of the config's.
        """
        shape = image.shape[:2]
        sample = self.pipeline(dict(img=image.copy(), img_id=0, img_path='',
                                    img_shape=shape, ori_shape=shape))
        data = self.model.data_preprocessor(pseudo_collate([sample]), False)
        head = self.model.bbox_head
        outputs = self.model(data['inputs'], mode='tensor')
        test_cfg = copy.deepcopy(head.test_cfg)
        if threshold is not None:
            test_cfg.score_thr = threshold
            test_cfg.pop('class_scores', None)
        with warnings.catch_warnings():
            # mmdet's grids of points.
            warnings.filterwarnings('ignore', message='torch.meshgrid')
            found, = head.predict_by_feat(
                *outputs, batch_img_metas=[data['data_samples'][0].metainfo],
                cfg=test_cfg, rescale=True)
        masks = None
        if 'masks' in found:
            masks = np.empty(len(found), object)
            masks[:] = [encode_mask(mask.numpy()) for mask in found.masks]
        return Found(flat_outputs(outputs),
                     Detections(found.bboxes.numpy(), found.scores.numpy(),
                                found.labels.numpy(), masks))
