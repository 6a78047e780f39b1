"""Losses from sparse targets against mmyolo's from one-hot ones."""
import pytest
import torch
from builders import detector_cfg
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.models.task_modules.assigners import BatchTaskAlignedAssigner
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.models.dense_heads import sparse_targets

SIZES = ((8, 12), (4, 6), (2, 3))
LEVEL_STRIDES = (8, 16, 32)
REG_MAX = 16


def head(kind: str, num_classes: int, **kwargs) -> torch.nn.Module:
    """A head that only its losses are asked for."""
    init_default_scope('mmyolo')
    cfg = detector_cfg('rep_conv', num_classes=num_classes)
    return MODELS.build(
        ConfigDict({
            **cfg['bbox_head'], 'type': kind,
            'train_cfg': cfg['train_cfg'],
            'test_cfg': cfg['test_cfg'],
            **kwargs
        }))


def features(num_images: int, num_classes: int, dtype: torch.dtype):
    """Random logits, box distributions and their means, of all levels."""
    generator = torch.Generator().manual_seed(0)
    logits, dists = [], []
    for height, width in SIZES:
        shape = (num_images, num_classes, height, width)
        logits.append(3 * torch.randn(shape, generator=generator) - 2)
        dists.append(2 * torch.randn(
            num_images, height * width, 4, REG_MAX, generator=generator))
    return [[x.to(dtype).requires_grad_() for x in levels]
            for levels in (logits, dists)]


def losses(module, logits, dists, truth):
    """The three losses, and the gradient of their sum."""
    means = []
    for dist, (height, width) in zip(dists, SIZES):
        mean = dist.softmax(-1) @ torch.arange(REG_MAX).to(dist)
        means.append(mean.transpose(1, 2).reshape(-1, 4, height, width))
    found = module.loss_by_feat(logits, means, dists, truth,
                                [dict() for _ in range(len(logits[0]))])
    gradients = torch.autograd.grad(
        sum(found.values()), [*logits, *dists], allow_unused=True)
    return found, gradients


def boxes_of(*rows) -> Tensor:
    """Rows of image, class, x1, y1, x2, y2."""
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)


TRUTHS = dict(
    several=boxes_of((0, 1, 3, 2, 60, 40), (0, 0, 10, 8, 90, 60),
                     (0, 1, 4, 3, 58, 41), (1, 0, 20, 20, 50, 62)),
    an_image_without=boxes_of((1, 1, 3, 2, 60, 40), (1, 0, 5, 4, 62, 40)),
    # Between the anchors of all levels: a box, but no anchor is inside.
    no_anchor_inside=boxes_of((0, 1, 5., 5., 7., 7.)),
    no_boxes=boxes_of())


@pytest.mark.parametrize('truth', TRUTHS.values(), ids=TRUTHS)
@pytest.mark.parametrize('num_classes', [1, 2, 300])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_losses_and_gradients_are_mmyolos(dtype, num_classes, truth):
    truth = truth.to(dtype)
    truth[:, 1] *= (num_classes - 1)
    inputs = features(2, num_classes, dtype)
    expected = losses(head('YOLOv8Head', num_classes), *inputs, truth)
    found = losses(head('RepYOLOWorldHead', num_classes), *inputs, truth)
    # In float64, mmyolo casts the targets to float32 on the way.
    bar = dict(rtol=2e-5, atol=1e-6) if dtype == torch.float32 else dict(
        rtol=1e-6, atol=1e-8, check_dtype=False)
    assert found[0].keys() == expected[0].keys()
    for name in found[0]:
        torch.testing.assert_close(found[0][name], expected[0][name], **bar)
    for one, other in zip(found[1], expected[1]):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **bar)


def test_boxes_may_come_as_instances():
    from mmengine.structures import InstanceData
    inputs = features(2, 5, torch.float32)
    rows = TRUTHS['several'].float()
    truth = [
        InstanceData(
            bboxes=rows[rows[:, 0] == i, 2:], labels=rows[rows[:, 0] == i, 1])
        for i in range(2)
    ]
    expected, _ = losses(head('YOLOv8Head', 5), *inputs, truth)
    found, _ = losses(head('RepYOLOWorldHead', 5), *inputs, truth)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=2e-5,
                                   atol=1e-6)


@pytest.mark.parametrize('piece', [1, 4, 100])
def test_sparse_bce_is_the_binary_cross_entropy(monkeypatch, piece):
    monkeypatch.setattr(sparse_targets, 'PIECE', piece)
    torch.manual_seed(0)
    logits = 30 * torch.randn(2, 9, 3, 4, dtype=torch.float64)
    place = tuple(torch.tensor(x) for x in ((0, 1, 1), (8, 0, 3), (2, 0, 1),
                                            (3, 1, 1)))
    target = torch.tensor([0.3, 1.0, 0.0], dtype=torch.float64)
    dense = torch.zeros_like(logits).index_put(place, target)
    for memory in (torch.contiguous_format, torch.channels_last):
        x = logits.contiguous(memory_format=memory).requires_grad_()
        found = sparse_targets.sparse_bce(x, place, target)
        assert [y.numel() for y in found.grad_fn.saved_tensors
                if y.numel() > 3] == [x.numel()]
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            x, dense, reduction='sum')
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
        torch.testing.assert_close(
            *(torch.autograd.grad(y, x)[0] for y in (found, expected)),
            rtol=1e-13, atol=1e-14)


def test_small_scores_survive_float16():
    x = torch.full((1, 3, 2, 2), -14.).half().requires_grad_()
    none = torch.zeros(0, dtype=torch.long)
    loss = sparse_targets.sparse_bce(x, (none, ) * 4, torch.zeros(0))
    grad, = torch.autograd.grad(loss * 2**16, x)
    torch.testing.assert_close(
        grad.float(), torch.full_like(grad, 2**16 / (1 + 2.718281828**14)).
        float(), rtol=2e-3, atol=0)


def test_switched_off_it_is_mmyolos():
    module = head('RepYOLOWorldHead', 5, sparse_targets=False)
    assert type(module.assigner).__name__ == 'BatchTaskAlignedAssigner'


@pytest.mark.parametrize('changes, message', [
    (dict(loss_cls=dict(type='mmdet.QualityFocalLoss')), 'CrossEntropyLoss'),
    (dict(
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=True,
            reduction='none',
            class_weight=[1.] * 5)), 'CrossEntropyLoss'),
    (dict(
        train_cfg=dict(assigner=dict(type='BatchATSSAssigner',
                                     num_classes=5,
                                     iou_calculator=dict(
                                         type='mmdet.BboxOverlaps2D')))),
     'BatchTaskAlignedAssigner'),
])
def test_other_losses_and_assigners_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        head('RepYOLOWorldHead', 5, **changes)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_candidates_are_mmyolos_without_a_one_hot_of_each(dtype):
    generator = torch.Generator().manual_seed(0)
    batch, boxes, topk = 3, 5, 10
    points = torch.stack(
        torch.meshgrid(
            4 + 8 * torch.arange(12.), 4 + 8 * torch.arange(8.),
            indexing='xy'), -1).reshape(-1, 2).to(dtype)
    num = len(points)
    corner = 60 * torch.rand(batch, boxes, 2, generator=generator)
    truth = torch.cat([corner, corner + 4 + 40 * torch.rand(
        batch, boxes, 2, generator=generator)], -1).to(dtype)
    # A corner on an anchor, an edge on a column of them, and a padding.
    truth[0, 0] = torch.tensor([4., 4., 28., 20.])
    truth[1, 2] = torch.tensor([12., 3., 60., 44.])
    flag = torch.ones(batch, boxes, 1)
    flag[2, 3:] = 0
    found = truth[:, torch.randint(boxes, (num, ), generator=generator)]
    found = found + torch.rand(
        batch, num, 4, generator=generator).to(dtype) * 6
    scores = torch.rand(batch, num, boxes, generator=generator).to(dtype)
    labels = torch.arange(boxes).expand(batch, -1)[..., None]
    args = (found, scores, points, labels, truth, flag, batch, boxes)
    options = dict(num_classes=boxes, topk=topk, use_ciou=True)
    sparse = sparse_targets.SparseTaskAlignedAssigner(**options)
    expected = BatchTaskAlignedAssigner(**options).get_pos_mask(*args)
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in (
                out if isinstance(out, (tuple, list)) else [out])
                         if isinstance(x, torch.Tensor))
            return out

    with Watch():
        mine = sparse.get_pos_mask(*args)
    for one, other in zip(mine, expected):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
    assert 0 < expected[0].sum() < batch * boxes * topk
    assert max(sizes) <= 4 * batch * boxes * num
