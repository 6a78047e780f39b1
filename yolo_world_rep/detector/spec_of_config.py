"""A config's settings for images and detections, as a :class:`Spec`."""
import logging
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmyolo.models.dense_heads import YOLOv8Head
from torch import nn

from yolo_world_rep.config.variables import type_name
from yolo_world_rep.inference.spec import Spec
from yolo_world_rep.models.dense_heads.lean_predictions import (
    ClassScoresMixin,
)
from yolo_world_rep.utils.log import log

from .class_names import class_names_of, test_dataset

# Steps of a test pipeline that leave the image as it is.
IDLE = ('LoadAnnotations', 'PackDetInputs')
# mmcv's, and what the launcher puts in its place.
LOAD_IMAGE = ('LoadImageFromFile', 'LoadCheckedImageFromFile')
# What is understood of each other step: an argument and its values, None
# where any is; 'scale', 'pad_val' and 'allow_scale_up' are read.
LOADING = dict.fromkeys(LOAD_IMAGE, dict(
    backend_args=None, file_client_args=None, ignore_empty=None,
    to_float32=(False, ), color_type=('color', ), imdecode_backend=('cv2', )))
STEPS: Dict[str, Dict[str, Optional[Sequence[Any]]]] = dict(
    LOADING,
    LoadText=dict(
        text_path=None, prompt_format=('{}', ), multi_prompt_flag=None),
    YOLOv5KeepRatioResize=dict(
        scale=None, keep_ratio=(True, ), clip_object_border=None,
        backend=('cv2', ), interpolation=('bilinear', )),
    LetterResize=dict(
        scale=None, pad_val=None, allow_scale_up=None, use_mini_pad=(False, ),
        stretch_only=(False, ), half_pad_param=(False, ), keep_ratio=(True, ),
        clip_object_border=None, backend=('cv2', ),
        interpolation=('bilinear', )))
POST = dict(
    multi_label=None, nms_pre=None, score_thr=None, nms=None, max_per_img=None,
    # Ours, a minimum score for each class.
    class_scores=None,
    # Of YOLOv5's heads; it filters before the suppression when it is set.
    min_bbox_size=(-1, ), yolox_style=(False, ),
    # Of heads with masks.
    mask_thr_binary=None, fast_test=None)
NMS = dict(
    type=('nms', ), iou_threshold=None, class_agnostic=None, offset=(0, ),
    # Groups that give the same boxes.
    split_thr=None)


def _check(where: str, values: Mapping[str, Any],
           known: Mapping[str, Optional[Sequence[Any]]]) -> None:
    """Refuse unknown settings by name."""
    for name, value in values.items():
        if name in ('type', '_scope_') and name not in known:
            continue
        if name not in known:
            raise ValueError(f'{where}: {name}={value!r} is not understood '
                             f'here; expected {", ".join(known)} only.')
        allowed = known[name]
        if allowed is not None and value not in allowed:
            raise ValueError(
                f'{where}: {name}={value!r} is not supported here; '
                f'expected {" or ".join(map(repr, allowed))}.')


def _height_width(where: str, scale: Any) -> Tuple[int, int]:
    """mmyolo's scale is (width, height), or one number for both."""
    if isinstance(scale, int):
        scale = (scale, scale)
    if not (isinstance(scale, Sequence) and len(scale) == 2 and all(
            isinstance(side, int) and side > 0 for side in scale)):
        raise ValueError(f'{where}: scale={scale!r}; expected (width, '
                         f'height) in pixels.')
    return scale[1], scale[0]


def _pad_value(where: str, pad_val: Any) -> int:
    """The image's; a bare default of mmyolo is 0."""
    if isinstance(pad_val, Mapping):
        pad_val = pad_val.get('img', 0)
    if isinstance(pad_val, Sequence) and len(set(pad_val)) == 1:
        pad_val = pad_val[0]
    if not isinstance(pad_val, (int, float)) or not (
            0 <= pad_val <= 255 and pad_val == int(pad_val)):
        raise ValueError(f'{where}: pad_val={pad_val!r}; expected one '
                         f'integer in 0..255 for the image.')
    return int(pad_val)


def letterbox_of_pipeline(
        pipeline: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """The fields of :class:`Spec` on the letterbox of a test pipeline."""
    steps: List[Tuple[str, Mapping[str, Any]]] = []
    for step in pipeline:
        name = type_name(step)
        if name in IDLE:
            continue
        where = f'test pipeline, {name or step}'
        if name not in STEPS:
            raise ValueError(
                f'{where}: this step is not understood; expected '
                f'LoadImageFromFile, YOLOv5KeepRatioResize or not, '
                f'LetterResize, and steps that leave the image alone.')
        _check(where, step, STEPS[name])
        if name != 'LoadText':
            steps.append((name, step))
    names = [name for name, _ in steps]
    if names[:1] and names[0] in LOAD_IMAGE:
        names, steps = names[1:], steps[1:]
    if names not in (['LetterResize'],
                     ['YOLOv5KeepRatioResize', 'LetterResize']):
        raise ValueError(f'test pipeline: it resizes with {names}; expected '
                         f'[\'YOLOv5KeepRatioResize\', \'LetterResize\'] or '
                         f'[\'LetterResize\'].')
    where, letter = 'test pipeline, LetterResize', steps[-1][1]
    size = _height_width(where, letter.get('scale'))
    enlarge = bool(letter.get('allow_scale_up', True))
    keep_ratio = len(steps) == 2
    if keep_ratio:
        first = _height_width('test pipeline, YOLOv5KeepRatioResize',
                              steps[0][1].get('scale'))
        if first != size or enlarge:
            raise ValueError(f'{where}: expected the scale of '
                             f'YOLOv5KeepRatioResize and allow_scale_up=False '
                             f'behind it; got the scales {first[::-1]} and '
                             f'{size[::-1]} and allow_scale_up={enlarge}.')
    return dict(
        image_size=size, resize='keep_ratio' if keep_ratio else 'letter',
        enlarge=not keep_ratio and enlarge,
        pad_value=_pad_value(where, letter.get('pad_val', 0)))


def normalisation_of(preprocessor: nn.Module) -> Dict[str, Any]:
    """Channel order, mean and standard deviation of a data preprocessor."""
    swaps = getattr(preprocessor, '_channel_conversion', False)
    values = dict(mean=(0., 0., 0.), std=(1., 1., 1.))
    if getattr(preprocessor, '_enable_normalize', False):
        values = {name: tuple(getattr(preprocessor, name).flatten().tolist())
                  for name in values}
    return dict(channel_order='rgb' if swaps else 'bgr', **values)


def post_processing_of(test_cfg: Mapping[str, Any]) -> Dict[str, Any]:
    """Thresholds of a head's ``test_cfg``."""
    _check('model.test_cfg', test_cfg, POST)
    nms = dict(test_cfg.get('nms') or {})
    if 'iou_thr' in nms:  # its name of old
        nms['iou_threshold'] = nms.pop('iou_thr')
    nms.setdefault('type', 'nms')
    _check('model.test_cfg.nms', nms, NMS)
    missing = [name for name in ('multi_label', 'score_thr', 'max_per_img')
               if name not in test_cfg]
    if 'iou_threshold' not in nms:
        missing.append('nms.iou_threshold')
    if missing:
        raise ValueError(f'model.test_cfg: {", ".join(missing)} not set; '
                         f'expected all of them.')
    return dict(score_threshold=float(test_cfg['score_thr']),
                multi_label=bool(test_cfg['multi_label']),
                nms_pre=int(test_cfg.get('nms_pre', 100000)),
                iou_threshold=float(nms['iou_threshold']),
                class_agnostic=bool(nms.get('class_agnostic', False)),
                max_detections=int(test_cfg['max_per_img']))


def masks_of(head: nn.Module) -> Dict[str, Any]:
    """A head's settings for masks, empty without masks."""
    count = getattr(head.head_module, 'mask_channels', 0)
    if not count:
        return {}
    threshold = head.test_cfg.get('mask_thr_binary')
    fast = head.test_cfg.get('fast_test', False)
    if threshold is None or not fast:
        raise ValueError(
            f'model.test_cfg: mask_thr_binary={threshold} and fast_test='
            f'{fast}; expected a number and True: masks are enlarged before '
            f'they are cut. Set model.test_cfg.mask_thr_binary=0.5 and '
            f'model.test_cfg.fast_test=True (`cfg_options`).')
    return dict(mask_channels=int(count), mask_threshold=float(threshold))


def strides_of(head: nn.Module) -> Tuple[int, ...]:
    """The strides of a head, which must decode as YOLOv8 does."""
    if not isinstance(head, YOLOv8Head):
        raise ValueError(f'bbox_head is a {type(head).__name__}; expected '
                         f'YOLOv8Head or one of ours.')
    offset = getattr(head.prior_generator, 'offset', None)
    coder = type(head.bbox_coder).__name__
    if offset != 0.5 or coder != 'DistancePointBBoxCoder':
        raise ValueError(
            f'bbox_head: prior_generator.offset={offset} and a {coder}; '
            f'expected 0.5 and DistancePointBBoxCoder, as of YOLOv8.')
    strides = []
    for stride in head.featmap_strides:
        pair = (stride, stride) if isinstance(stride, int) else stride
        if pair[0] != pair[1]:
            raise ValueError(f'bbox_head: featmap_strides has {stride!r}; '
                             f'expected the same for x and y.')
        strides.append(int(pair[0]))
    return tuple(strides)


def spec_of_config(cfg: Config, model: nn.Module) -> Spec:
    """What a model of a config takes and gives, for any number of images.

    The model has its checkpoint loaded; class names are taken from its
    ``dataset_meta`` first. What is not understood in pipeline, preprocessor or
    post-processing is a ValueError with its name.
    """
    layers = test_dataset(cfg)
    pipeline = next((layer['pipeline'] for layer in layers
                     if layer.get('pipeline')), None)
    if pipeline is None:
        raise ValueError('The config has no test_dataloader.dataset.'
                         'pipeline, which says how images are prepared.')
    if any(layer.get('batch_shapes_cfg') for layer in layers):
        log('batch_shapes_cfg of the test data set, a smaller letterbox for '
            'each batch, is of no effect here: all images have one size.',
            logging.WARNING)
    head = model.bbox_head
    strides = strides_of(head)
    box = letterbox_of_pipeline(pipeline)
    if any(side % max(strides) for side in box['image_size']):
        raise ValueError(
            f'test pipeline, LetterResize: height and width '
            f'{box["image_size"]}; expected multiples of {max(strides)}, the '
            f'largest stride. Set img_scale to such.')
    if getattr(head, 'test_cfg', None) is None:
        raise ValueError('model.test_cfg is not set; expected score_thr, '
                         'nms and the other thresholds.')
    names = tuple(class_names_of(cfg, model))
    class_scores = head.test_cfg.get('class_scores') or ()
    if class_scores and not isinstance(head, ClassScoresMixin):
        raise ValueError(f'model.test_cfg: a {type(head).__name__} knows no '
                         f'class_scores; expected RepYOLOWorldHead.')
    if class_scores and len(class_scores) != len(names):
        raise ValueError(f'model.test_cfg: class_scores={class_scores}; '
                         f'expected one for each of {len(names)} classes.')
    others = {name: float(score) for name, score in zip(names, class_scores)
              if score != head.test_cfg.score_thr}
    return Spec(classes=names, batch=None, dynamic=True, contract='raw',
                strides=strides, class_scores=others, **box,
                **normalisation_of(model.data_preprocessor),
                **post_processing_of(head.test_cfg), **masks_of(head))
