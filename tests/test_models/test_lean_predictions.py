"""Detections without copies of all scores against mmyolo's."""
import pytest
import torch
from builders import detector_cfg
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS

from yolo_world_rep.models.dense_heads import lean_predictions as lean

# A multiple of 32 in all: torch rounds elements beyond it another way.
SIZES = ((8, 16), (4, 8), (4, 8))
META = dict(
    ori_shape=(50, 90), scale_factor=(1.25, 1.5), pad_param=(3., 2., 5., 4.))


def head(kind: str, num_classes: int, test_cfg=None,
         **kwargs) -> torch.nn.Module:
    """A head that is only asked for detections."""
    init_default_scope('mmyolo')
    cfg = detector_cfg('rep_conv', num_classes=num_classes)
    return MODELS.build(
        ConfigDict({
            **cfg['bbox_head'], 'type': kind,
            'test_cfg': {**cfg['test_cfg'], **(test_cfg or {})},
            **kwargs
        }))


def features(num_classes: int, steps: float = 0, dtype=torch.float32):
    """Random logits, in steps to have ties, and distances."""
    generator = torch.Generator().manual_seed(0)
    logits, boxes = [], []
    for size in SIZES:
        level = 4 * torch.randn(2, num_classes, *size, generator=generator) - 4
        logits.append(((level / steps).round() * steps if steps else level).to(
            dtype))
        boxes.append(
            (3 * torch.rand(2, 4, *size, generator=generator)).to(dtype))
    return logits, boxes


def both(num_classes: int, inputs, rescale=True, with_nms=True, **test_cfg):
    """Detections of mmyolo's head and of ours."""
    return [
        head(kind, num_classes, test_cfg).predict_by_feat(
            *inputs,
            batch_img_metas=[META, dict(META, pad_param=None)],
            rescale=rescale,
            with_nms=with_nms)
        for kind in ('YOLOv8Head', 'RepYOLOWorldHead')
    ]


def assert_the_same(expected, found):
    assert len(expected) == len(found) == 2
    for one, other in zip(expected, found):
        assert set(one.keys()) == set(other.keys())
        for key in one.keys():
            assert torch.equal(one[key], other[key]), key
            assert one[key].dtype == other[key].dtype, key


@pytest.mark.parametrize('num_classes', [1, 2, 40])
@pytest.mark.parametrize('test_cfg', [
    dict(),
    dict(multi_label=False),
    dict(nms_pre=37),
    dict(nms_pre=37, multi_label=False),
    dict(score_thr=0.5),
    dict(score_thr=0.),
    dict(score_thr=-1, nms_pre=50),
    dict(score_thr=1.),
    dict(score_thr=2.),
    dict(min_bbox_size=9.),
    dict(yolox_style=True, nms_pre=100),
], ids=str)
@pytest.mark.parametrize('steps', [0, 1.5])
def test_detections_are_mmyolos(num_classes, test_cfg, steps):
    assert_the_same(*both(num_classes, features(num_classes, steps),
                          **test_cfg))


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('with_nms', [False, True])
def test_with_and_without_rescaling_and_suppression(rescale, with_nms):
    assert_the_same(*both(9, features(9), rescale, with_nms))


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
@pytest.mark.parametrize('multi_label', [False, True])
def test_other_types(dtype, multi_label):
    assert_the_same(*both(
        9, features(9, dtype=dtype), score_thr=0.1, multi_label=multi_label))


def test_channels_last_is_looked_at_where_it_is():
    logits, boxes = features(9)
    logits = [x.to(memory_format=torch.channels_last) for x in logits]
    for level in logits:
        rows = lean._rows_of_positions(level[0])
        assert rows.data_ptr() == level.data_ptr()
    assert_the_same(*both(9, (logits, boxes)))


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf'])
def test_logits_that_are_no_numbers(value):
    """mmyolo would find nothing there, and say nothing."""
    logits, boxes = features(9)
    logits[1][1, 4, 2, 3] = float(value)
    with pytest.raises(ValueError, match='no finite numbers'):
        both(9, (logits, boxes))


@pytest.mark.parametrize('multi_label', [False, True])
def test_low_and_large_logits(multi_label):
    logits, boxes = features(9)
    logits[0][0, 4, 2, 3] = 3e38
    logits[0][0, 4, 2, 4] = 3e38
    assert_the_same(*both(9, (logits, boxes), multi_label=multi_label))
    assert_the_same(*both(
        9, ([torch.full_like(x, -50.) for x in logits], boxes),
        multi_label=multi_label))


def test_scores_just_around_the_threshold():
    score = torch.tensor(0.3).log() - torch.tensor(0.7).log()
    near = score + 1e-7 * torch.arange(-64., 64.).reshape(1, 8, 16)
    scores, _, anchors = lean.select_candidates([near], 0.3, 10**6)
    mask = near.flatten().sigmoid() > 0.3
    assert 0 < mask.sum() < mask.numel()
    assert torch.equal(anchors.sort()[0], mask.nonzero()[:, 0])
    assert (scores > 0.3).all()


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('steps', [0, 1.5])
def test_in_pieces_and_with_many_candidates(monkeypatch, multi_label, steps):
    logits, _ = features(40, steps)
    levels = [x[0] for x in logits]
    flat = torch.cat([x.flatten(1) for x in levels], 1).t().sigmoid()
    monkeypatch.setattr(lean, 'PIECE', 100)
    monkeypatch.setattr(lean, 'MANY', 60)
    scores, labels, anchors = lean.select_candidates(levels, 0.001, 50,
                                                     multi_label)
    if multi_label:
        best, order = flat.flatten().sort(descending=True, stable=True)
        expected = {(int(i) // 40, int(i) % 40) for i in order[:50]}
    else:
        peak, index = flat.max(1)
        best, order = peak.sort(descending=True, stable=True)
        expected = {(int(i), int(index[i])) for i in order[:50]}
    assert torch.equal(scores, best[:50])
    assert set(zip(anchors.tolist(), labels.tolist())) == expected


def test_no_tensor_of_all_scores_is_made(monkeypatch):
    monkeypatch.setattr(lean, 'PIECE', 256)
    monkeypatch.setattr(lean, 'MANY', 256)
    logits, boxes = features(300)
    limit = logits[-1].numel()
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            known = {x.untyped_storage().data_ptr() for x in logits}
            for x in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(x, torch.Tensor) and (
                        x.untyped_storage().data_ptr() not in known):
                    sizes.append(x.numel())
            return out

    module = head('RepYOLOWorldHead', 300, dict(nms_pre=100))
    with Watch():
        module.predict_by_feat(
            logits, boxes, batch_img_metas=[META, META], with_nms=False)
    assert 0 < max(sizes) < limit


def test_switched_off_it_is_mmyolos(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(lean, 'select_candidates', refuse)
    module = head('RepYOLOWorldHead', 5, lean_predictions=False)
    module.predict_by_feat(*features(5), batch_img_metas=[META, META])
