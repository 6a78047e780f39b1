"""What a detector computes, seen alike in this package and in the original's.

As a script, in a process of its own: ``PACKAGE CASES OUT`` imports the
original's released package from the folder PACKAGE and writes to OUT what it
makes of the cases in the file CASES.
"""
import copy
import random
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch
from torch import Tensor, nn

HEIGHT, WIDTH = 96, 160
# The release divides the loss of a mask by its box's area in these pixels.
MASK_PIXELS = 640 * 640
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


def mask_factor(release: bool) -> float:
    """What makes the two losses of masks the same."""
    return 1.0 if release else MASK_PIXELS / (HEIGHT * WIDTH)


def flat(value: Any) -> List[Tensor]:
    """The tensors of a nest of lists, tuples and tensors."""
    if isinstance(value, Tensor):
        return [value.detach().clone()]
    if isinstance(value, (list, tuple)):
        return [tensor for entry in value for tensor in flat(entry)]
    return []


def shapes(model: nn.Module) -> Dict[str, tuple]:
    """Names and shapes of the tensors, without the text table's own."""
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.startswith('backbone.text_model.')
    }


def build(cfg: dict) -> nn.Module:
    """The detector of a config in float64, its text table included."""
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope
    from mmyolo.registry import MODELS
    init_default_scope('mmyolo')
    model = MODELS.build(ConfigDict(copy.deepcopy(cfg))).double()
    table = getattr(model.backbone, 'text_model', None)
    if table is not None:
        plain = table.forward
        table.forward = lambda *args: plain(*args).double()
    return model


def samples_of(case: dict) -> list:
    """Two images to test, their sides halved and their texts stated."""
    from mmdet.structures import DetDataSample
    meta = dict(
        ori_shape=(2 * HEIGHT, 2 * WIDTH),
        img_shape=(HEIGHT, WIDTH),
        pad_shape=(HEIGHT, WIDTH),
        batch_input_shape=(HEIGHT, WIDTH),
        scale_factor=(0.5, 0.5),
        pad_param=np.zeros(4))
    if case['texts'] is not None:
        meta['texts'] = case['texts'][0]
    return [DetDataSample(metainfo=copy.deepcopy(meta)) for _ in range(2)]


def batch_of(case: dict, release: bool) -> dict:
    """Ground truth of the two images, as the collate function gives it."""
    batch = dict(
        bboxes_labels=case['boxes'].clone(),
        img_metas=[dict(batch_input_shape=(HEIGHT, WIDTH)) for _ in range(2)])
    if case['texts'] is not None:
        batch['texts'] = case['texts']
    if 'masks' in case:
        # The release interpolates them, which booleans do not allow.
        masks = case['masks'].clone()
        batch['masks'] = masks.double() if release else masks
    return batch


def observe(model: nn.Module, case: dict, release: bool) -> Dict[str, Any]:
    """Shapes, logits, detections, losses, gradients, optimizer groups."""
    found: Dict[str, Any] = dict(shapes=shapes(model))
    model.train()  # which freezes, too
    found['trains'] = sorted(
        name for name, p in model.named_parameters() if p.requires_grad)
    model.eval()
    with torch.no_grad():
        found['logits'] = flat(model._forward(case['image'], samples_of(case)))
        # mmyolo computes masks in single precision alone.
        detections = [] if 'masks' in case else model.predict(
            case['image'], samples_of(case))
    for image, sample in enumerate(detections):
        instances = sample.pred_instances
        found[f'detections {image}'] = [
            torch.as_tensor(instances[part]).double()
            for part in ('bboxes', 'scores', 'labels')
        ]
    for mode in ('frozen statistics', 'training'):
        model.train()
        if mode == 'frozen statistics':
            for module in model.modules():
                if isinstance(module, BATCH_NORMS):
                    module.eval()
        model.zero_grad()
        losses = model.loss(case['image'], batch_of(case, release))
        if 'loss_mask' in losses:
            losses['loss_mask'] = losses['loss_mask'] * mask_factor(release)
        found[f'losses, {mode}'] = {
            name: torch.as_tensor(loss).detach().double()
            for name, loss in losses.items()
        }
        total = sum(loss.sum() for loss in losses.values()
                    if isinstance(loss, Tensor) and loss.requires_grad)
        total.backward()
        found[f'gradients, {mode}'] = {
            name: parameter.grad.clone()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
    found['optimizer'] = groups(model)
    return found


def groups(model: nn.Module) -> List[str]:
    """Name, learning rate and decay of each parameter that is trained."""
    from mmengine.optim import build_optim_wrapper
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(
                type='AdamW', lr=2e-4, weight_decay=0.05,
                batch_size_per_gpu=16),
            paramwise_cfg=dict(
                custom_keys={
                    'backbone.text_model': dict(lr_mult=0.01),
                    'logit_scale': dict(weight_decay=0.0)
                }),
            constructor='YOLOWv5OptimizerConstructor'))
    names = {
        id(parameter): name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    return sorted(
        f'{names[id(parameter)]} {group["lr"]:.3e} '
        f'{group["weight_decay"]:.3e}'
        for group in wrapper.optimizer.param_groups
        for parameter in group['params'] if id(parameter) in names)


def items_of(dataset: dict, number: int) -> List[dict]:
    """What a data set of a config gives, each item after its own seed."""
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope
    from mmyolo.registry import DATASETS
    init_default_scope('mmyolo')
    data = DATASETS.build(ConfigDict(copy.deepcopy(dataset)))
    data.full_init()
    items = []
    for index in range(min(number, len(data))):
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(index)
        item = data[index]
        truth = item['data_samples'].gt_instances
        texts = [
            text if isinstance(text, str) else text[0]
            for text in item['data_samples'].texts
        ]
        boxes = truth.get('bboxes', [])
        boxes = torch.as_tensor(getattr(boxes, 'tensor', boxes))
        items.append(
            dict(
                image=item['inputs'].double().mean(),
                boxes=boxes.double().reshape(-1, 4),
                number_of_texts=len(texts),
                names=[texts[label] for label in truth.labels]))
    return items


def block_of(case: dict) -> Tensor:
    """What an attention block makes of an image and texts."""
    from mmengine.config import ConfigDict
    from mmyolo.registry import MODELS
    block = MODELS.build(ConfigDict(case['cfg'])).double().eval()
    block.load_state_dict(case['weights'])
    with torch.no_grad():
        return block(case['image'], case['text'])


def _load_release(package: str) -> None:
    """Import the release, with this package's stand-in for mmcv._ext."""
    # By itself: our package would take names that the release registers.
    sys.path.insert(0, str(Path(__file__).parents[1] / 'yolo_world_rep'))
    from compat import install_mmcv_ops
    install_mmcv_ops()
    sys.path[0] = package
    import yolo_world  # noqa: F401


def main(package: str, cases: str, out: str) -> None:
    """Write what the release makes of the cases."""
    _load_release(package)
    content, found = torch.load(cases, weights_only=False), {}
    for name, case in content['models'].items():
        model = build(case['cfg'])
        model.load_state_dict(case['weights'], strict=False)
        found[name] = observe(model, case, release=True)
    found['block'] = block_of(content['block'])
    for name, dataset in content['data'].items():
        found[name] = items_of(dataset, content['number'])
    torch.save(found, out)


if __name__ == '__main__':
    main(*sys.argv[1:])
