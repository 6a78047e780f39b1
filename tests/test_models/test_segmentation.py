"""YOLO-World-Seg: masks that fold, train and come out at their place."""
from types import SimpleNamespace

import pytest
import torch
from builders import (
    detector_cfg,
    randomize,
    relative_error,
)
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.models.utils import gt_instances_preprocess
from mmyolo.registry import MODELS, TASK_UTILS
from torch.nn.functional import binary_cross_entropy_with_logits

from yolo_world_rep.deploy import fuse
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.engine import CheckpointGuardHook
from yolo_world_rep.reparam.state_dict import reparameterize_state_dict

EXACT = 1e-10
CLASSES = 5
HEIGHT, WIDTH = 64, 96


def config(form, head_module=(), **head):
    """Of a small detector with masks."""
    cfg = detector_cfg(form, num_classes=CLASSES)
    rep = '' if form == 'text' else 'Rep'
    cfg['bbox_head'].update(type=f'{rep}YOLOWorldSegHead', **head)
    cfg['bbox_head']['head_module'].update(
        type=f'{rep}YOLOWorldSegHeadModule',
        **{
            'mask_channels': 6,
            'proto_channels': 64,
            **dict(head_module)
        })
    cfg['test_cfg'].update(mask_thr_binary=0.5, fast_test=True)
    init_default_scope('mmyolo')
    return cfg


def build(form, head_module=(), **head):
    """The same with random everything."""
    cfg = ConfigDict(config(form, head_module, **head))
    return randomize(MODELS.build(cfg).double()).eval()


def images(number=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(
        number, 3, HEIGHT, WIDTH, dtype=torch.float64, generator=generator)


def flat(outputs):
    """Tensors of nested outputs."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for entry in outputs for tensor in flat(entry)]


def batch(masks=True, overlap=True):
    """Ground truth of two images: three boxes and one, apart."""
    boxes = torch.tensor([[0, 1, 4, 4, 40, 30], [0, 3, 50, 6, 90, 40],
                          [0, 1, 8, 36, 30, 60], [1, 0, 20, 8, 80, 56]],
                         dtype=torch.float64)
    samples = dict(
        bboxes_labels=boxes,
        img_metas=[dict(batch_input_shape=(HEIGHT, WIDTH)) for _ in range(2)])
    if masks:
        shape = (HEIGHT // 4, WIDTH // 4)
        single = torch.zeros(4, *shape, dtype=torch.uint8)
        for mask, row in zip(single, boxes):
            x1, y1, x2, y2 = (row[2:] / 4).int().tolist()
            mask[y1:y2, x1 + 1:x2] = 1
        samples['masks'] = single
        if overlap:
            numbers = torch.tensor([1, 2, 3, 1], dtype=torch.uint8)
            numbered = single * numbers[:, None, None]
            samples['masks'] = torch.stack(
                [numbered[:3].amax(0), numbered[3]])
    return samples


@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_folds_with_its_masks(form):
    source, target = build('text'), build(form)
    text = torch.randn(CLASSES, 64, dtype=torch.float64)
    with torch.no_grad():
        features = source.neck(
            source.backbone.forward_image(images()),
            text.expand(2, -1, -1))
        expected = source.bbox_head((features, text.expand(2, -1, -1)))
    converted = reparameterize_state_dict(
        source.state_dict(), text, neck_form=form)
    target.load_state_dict(converted)
    with torch.no_grad():
        found = target(images(), mode='tensor')
    assert len(flat(found)) == 10
    for one, other in zip(flat(found), flat(expected)):
        assert relative_error(one, other) < EXACT


def test_deploy_form_keeps_the_masks():
    model = build('rep_conv')
    deployed = fuse(model)
    with torch.no_grad():
        pairs = zip(
            flat(deployed(images(), mode='tensor')),
            flat(model(images(), mode='tensor')))
    errors = [relative_error(*pair) for pair in pairs]
    assert len(errors) == 10
    assert max(errors) < EXACT


def loss_by_definition(model, samples):
    """The masks' loss, pixel by pixel, from the dense definition."""
    head = model.bbox_head
    model.train()
    with torch.no_grad():
        outputs = head(model.extract_feat(images()))
        *_, coeffs, protos = outputs
        positives = head.losses_and_positives(*outputs[:3],
                                              samples['bboxes_labels'],
                                              samples['img_metas'])[1]
    coeffs = torch.cat([x.flatten(2) for x in coeffs], 2)
    truth = samples['bboxes_labels']
    total = 0
    for image in range(2):
        boxes = truth[truth[:, 0] == image]
        losses = []
        for which, anchor, number, _ in zip(*positives):
            if which != image:
                continue
            mask = (coeffs[image, :, anchor, None, None] *
                    protos[image]).sum(0)
            # Prototypes are twice as fine as the finest level's cells.
            x1, y1, x2, y2 = boxes[number, 2:] / 4
            loss = 0
            for y in range(HEIGHT // 4):
                for x in range(WIDTH // 4):
                    if x1 <= x < x2 and y1 <= y < y2:
                        inside = samples['masks'][image, y, x] == number + 1
                        loss += binary_cross_entropy_with_logits(
                            mask[y, x], inside.double())
            losses.append(loss / ((x2 - x1) * (y2 - y1)))
        assert losses
        total += sum(losses) / len(losses)
    return 0.05 * total


def test_loss_is_that_of_the_definition():
    model = build('rep_conv')
    samples = batch()
    expected = loss_by_definition(model, samples)
    model.train()
    found = model.loss(images(), samples)['loss_mask']
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    # The twin with another image's numbers must be off.
    samples['masks'] = samples['masks'].flip(0)
    wrong = model.loss(images(), samples)['loss_mask']
    assert abs(wrong - expected) > 1e-2 * expected


def test_one_map_of_numbers_and_one_mask_a_box_are_the_same():
    one, other = build('rep_conv'), build('rep_conv', mask_overlap=False)
    found = one.train().loss(images(), batch())
    expected = other.train().loss(images(), batch(overlap=False))
    for name in ('loss_cls', 'loss_bbox', 'loss_dfl', 'loss_mask'):
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize('overlap', [True, False])
def test_without_boxes_every_parameter_has_a_gradient(overlap):
    model = build('rep_conv', mask_overlap=overlap).train()
    samples = batch()
    samples['bboxes_labels'] = samples['bboxes_labels'][:0]
    samples['masks'] = samples['masks'] * 0
    if not overlap:
        samples['masks'] = samples['masks'][:0]
    sum(model.loss(images(), samples).values()).backward()
    masks = [
        parameter for name, parameter in model.named_parameters()
        if 'seg_preds' in name or 'proto_pred' in name
    ]
    assert masks
    assert all(parameter.grad is not None for parameter in masks)


def test_masks_learn_with_everything_else_frozen():
    model = build('rep_conv', head_module=dict(freeze_bbox=True)).float()
    model.train()
    module = model.bbox_head.head_module
    before = {k: v.clone() for k, v in module.state_dict().items()}
    optimizer = torch.optim.Adam(
        [p for p in module.parameters() if p.requires_grad], lr=0.02)
    losses = []
    samples = {
        key: value.float() if key == 'bboxes_labels' else value
        for key, value in batch().items()
    }
    with torch.no_grad():
        features = model.extract_feat(images().float())
    for _ in range(12):
        found = model.bbox_head.loss(features, samples)
        losses.append(found['loss_mask'].item())
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    changed = {
        key.split('.')[0]
        for key, after in module.state_dict().items()
        if not torch.equal(before[key], after)
    }
    assert changed == {'seg_preds', 'proto_pred'}


def test_detects_with_masks_of_the_original_size():
    # mmyolo's masks are float32.
    model = build('rep_conv').float()
    metas = [
        dict(
            ori_shape=(128, 180 + i),
            img_shape=(HEIGHT, WIDTH),
            batch_input_shape=(HEIGHT, WIDTH),
            pad_param=(0, 0, 3, 3),
            scale_factor=(0.5, 0.5)) for i in range(5)
    ]
    samples = [DetDataSample(metainfo=meta) for meta in metas]
    with torch.no_grad():
        found = model.predict(images(5).float(), samples)
    assert len(found) == 5
    for sample, meta in zip(found, metas):
        instances = sample.pred_instances
        assert len(instances)
        assert instances.masks.dtype == torch.bool
        assert instances.masks.shape == (len(instances), *meta['ori_shape'])
        # nothing of a mask is outside its box
        for mask, box in zip(instances.masks, instances.bboxes):
            rows, columns = mask.nonzero(as_tuple=True)
            if len(rows):
                assert columns.min() >= box[0] - 3
                assert rows.max() <= box[3] + 3


def test_without_rescaling_all_is_of_the_input():
    model = build('rep_conv').float()
    # The image is twice as large as it is in the input, 6 pixels from the
    # left and 4 from above.
    meta = dict(
        ori_shape=(112, 168),
        img_shape=(HEIGHT, WIDTH),
        batch_input_shape=(HEIGHT, WIDTH),
        pad_param=(4, 4, 6, 6),
        scale_factor=(0.5, 0.5))
    found = {}
    for rescale in (True, False):
        with torch.no_grad():
            sample, = model.predict(images(1).float(),
                                    [DetDataSample(metainfo=meta)],
                                    rescale=rescale)
        found[rescale] = sample.pred_instances
    one, other = found[False], found[True]
    assert len(one) == len(other) > 0
    assert one.masks.shape == (len(one), HEIGHT, WIDTH)
    back = (one.bboxes - torch.tensor([6, 4] * 2)) * 2
    limit = torch.tensor([168, 112] * 2)
    torch.testing.assert_close(
        back.clamp(min=0).minimum(limit), other.bboxes, atol=1e-3, rtol=0)
    # Every other pixel of the image is about one of the input.
    halves = other.masks[:, ::2, ::2]
    same = one.masks[:, 4:-4, 6:-6] == halves
    assert same.float().mean() > 0.97
    assert halves.float().mean() > 0.02


def test_the_prototypes_width_is_not_scaled():
    cfg = config('rep_conv')['bbox_head']['head_module']
    assert (cfg['widen_factor'], cfg['proto_channels']) == (0.125, 64)
    proto = build('rep_conv').bbox_head.head_module.proto_pred
    assert proto.conv1.conv.out_channels == 64


def test_the_assigner_of_public_configs_says_which_box():
    names = dict(num_classes=CLASSES, topk=3, alpha=0.5, beta=6.0)
    dense, mmyolos = (TASK_UTILS.build(dict(type=name, **names)) for name in (
        'YOLOWorldSegAssigner', 'BatchTaskAlignedAssigner'))
    samples = batch()
    truth = gt_instances_preprocess(samples['bboxes_labels'], 2)
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(
        *(torch.arange(4., side, 8) for side in (HEIGHT, WIDTH)),
        indexing='ij')
    priors = torch.stack([x.flatten(), y.flatten()], 1).double()
    boxes = torch.cat([priors - 12, priors + 12], 1).expand(2, -1, -1)
    inputs = (boxes, torch.rand(2, len(priors), CLASSES, dtype=torch.float64,
                                generator=generator), priors,
              truth[..., :1], truth[..., 1:],
              (truth[..., 1:].sum(-1, keepdim=True) > 0).double())
    found, expected = dense(*inputs), mmyolos(*inputs)
    for name, value in expected.items():
        assert torch.equal(found[name], value)
    positive = found['fg_mask_pre_prior']
    assert positive[0].any()
    assert positive[1].any()
    for image in range(2):
        own = positive[image]
        numbers = found['assigned_gt_idxs'][image, own]
        assert torch.equal(found['assigned_bboxes'][image, own],
                           truth[image, numbers, 1:])


def test_the_heads_losses_are_the_same_with_either_assigner():
    samples = batch()
    losses = []
    for name in ('YOLOWorldSegAssigner', 'BatchTaskAlignedAssigner'):
        cfg = config('rep_conv')
        cfg['train_cfg']['assigner']['type'] = name
        model = randomize(MODELS.build(ConfigDict(cfg)).double()).train()
        losses.append(model.loss(images(), samples))
    assert losses[0]['loss_mask'] > 0
    assert losses[0] == losses[1]


def test_a_file_of_scaled_prototypes_says_what_to_set(tmp_path):
    """What the first version of this package wrote for S was half as wide."""
    cfg = config('rep_conv')
    path = tmp_path / 'narrow.pth'
    narrow = build('rep_conv', head_module=dict(proto_channels=32))
    torch.save(dict(state_dict=narrow.state_dict()), path)
    mend = 'model.bbox_head.head_module.proto_channels=32'
    with pytest.raises(ValueError, match=f'32 wide: set {mend}, in the'):
        load_detector(Config(dict(model=cfg)), path)
    wide = Config(dict(model=cfg))
    wide.merge_from_dict(dict([mend.split('=')]))
    wide.model.bbox_head.head_module.proto_channels = int(
        wide.model.bbox_head.head_module.proto_channels)
    loaded, _ = load_detector(wide, path)
    assert loaded.bbox_head.head_module.proto_channels == 32
    # The same where a training or a test loads it.
    runner = SimpleNamespace(
        model=build('rep_conv'), _load_from=str(path), _resume=False)
    with pytest.raises(ValueError, match=mend):
        CheckpointGuardHook().after_load_checkpoint(
            runner, torch.load(path, weights_only=True))


def test_batches_without_masks_are_refused():
    model = build('rep_conv').train()
    with pytest.raises(ValueError, match='Polygon2Mask'):
        model.loss(images(), batch(masks=False))


def test_dense_targets_are_refused():
    with pytest.raises(ValueError, match='sparse_targets=False'):
        build('rep_conv', sparse_targets=False)
