"""Ultralytics' YOLO-World-v2 by layers, and the names of its tensors here."""
from typing import Dict, Iterator, List, Mapping, Tuple

# The layers in their order: class, and the layers its input comes from.
LAYERS = (
    ('Conv', -1), ('Conv', -1), ('C2f', -1), ('Conv', -1), ('C2f', -1),
    ('Conv', -1), ('C2f', -1), ('Conv', -1), ('C2f', -1), ('SPPF', -1),
    ('Upsample', -1), ('Concat', [-1, 6]), ('C2fAttn', -1),
    ('Upsample', -1), ('Concat', [-1, 4]), ('C2fAttn', -1),
    ('Conv', 15), ('Concat', [-1, 12]), ('C2fAttn', -1),
    ('Conv', -1), ('Concat', [-1, 9]), ('C2fAttn', -1),
    ('WorldDetect', [15, 18, 21]))
# Where they are in our detector.
PLACES = {
    0: 'backbone.image_model.stem',
    1: 'backbone.image_model.stage1.0',
    2: 'backbone.image_model.stage1.1',
    3: 'backbone.image_model.stage2.0',
    4: 'backbone.image_model.stage2.1',
    5: 'backbone.image_model.stage3.0',
    6: 'backbone.image_model.stage3.1',
    7: 'backbone.image_model.stage4.0',
    8: 'backbone.image_model.stage4.1',
    9: 'backbone.image_model.stage4.2',
    12: 'neck.top_down_layers.0',
    15: 'neck.top_down_layers.1',
    16: 'neck.downsample_layers.0',
    18: 'neck.bottom_up_layers.0',
    19: 'neck.downsample_layers.1',
    21: 'neck.bottom_up_layers.1',
    22: 'bbox_head.head_module',
}
HEAD = f'model.{len(LAYERS) - 1}'
NUM_LEVELS = 3
# The 0, 1, 2, ... that distributions of box sides are weighted with; a
# constant in both detectors, and no tensor of ours.
BINS = f'{HEAD}.dfl.conv.weight'
NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def layers_of(*classes: str) -> List[int]:
    """Indices of the layers of some classes."""
    return [i for i, (name, _) in enumerate(LAYERS) if name in classes]


def _convolutions(blocks: Mapping[int, int]) -> Iterator[Tuple[str, str]]:
    """Names of all convolutions with a batch norm, theirs and ours."""
    for index, place in PLACES.items():
        parts: List[Tuple[str, str]] = []
        kind = LAYERS[index][0]
        if kind == 'Conv':
            yield f'model.{index}', place
        elif kind == 'SPPF':
            parts = [('cv1', 'conv1'), ('cv2', 'conv2')]
        elif kind in ('C2f', 'C2fAttn'):
            parts = [('cv1', 'main_conv'), ('cv2', 'final_conv')]
            parts += [(f'm.{block}.cv{conv}', f'blocks.{block}.conv{conv}')
                      for block in range(blocks[index]) for conv in (1, 2)]
            if kind == 'C2fAttn':
                parts.append(('attn.proj_conv', 'attn_block.project_conv'))
        elif kind == 'WorldDetect':
            parts = [(f'{theirs}.{level}.{conv}', f'{ours}.{level}.{conv}')
                     for theirs, ours in (('cv2', 'reg_preds'),
                                          ('cv3', 'cls_preds'))
                     for level in range(NUM_LEVELS) for conv in (0, 1)]
        for theirs, ours in parts:
            yield f'model.{index}.{theirs}', f'{place}.{ours}'


def name_map(blocks: Mapping[int, int]) -> Dict[str, str]:
    """Our names of all tensors by theirs; ``blocks`` as of count_blocks."""
    names = {}
    for theirs, ours in _convolutions(blocks):
        names[f'{theirs}.conv.weight'] = f'{ours}.conv.weight'
        names.update(
            {f'{theirs}.bn.{part}': f'{ours}.bn.{part}' for part in NORM})
    for index in layers_of('C2fAttn'):
        theirs = f'model.{index}.attn'
        ours = f'{PLACES[index]}.attn_block'
        names[f'{theirs}.gl.weight'] = f'{ours}.guide_fc.weight'
        names[f'{theirs}.gl.bias'] = f'{ours}.guide_fc.bias'
        names[f'{theirs}.bias'] = f'{ours}.bias'
    head = PLACES[len(LAYERS) - 1]
    for level in range(NUM_LEVELS):
        for branch, ours in (('cv2', 'reg_preds'), ('cv3', 'cls_preds')):
            for part in ('weight', 'bias'):
                names[f'{HEAD}.{branch}.{level}.2.{part}'] = (
                    f'{head}.{ours}.{level}.2.{part}')
        for part in ('bias', 'logit_scale', *(f'norm.{n}' for n in NORM)):
            names[f'{HEAD}.cv4.{level}.{part}'] = (
                f'{head}.cls_contrasts.{level}.{part}')
    return names
