"""The original's 42 public configs: which run here, and what each needs.

The table is kept here; settings, keys and shapes of all 42 are development
data, and are compared with it where they are.
"""
import fnmatch
import json
import re
from typing import NamedTuple, Optional, Tuple

import mmengine.registry
import mmyolo.registry
import pytest
import torch
from docs_blocks import REPOSITORY
from mmengine.config import ConfigDict
from mmengine.dataset import COLLATE_FUNCTIONS
from mmengine.registry import DefaultScope, Registry
from mmyolo.registry import MODELS

from yolo_world_rep.models.refused import REFUSED

TEXT = 'MaxSigmoidCSPLayerWithTwoConv'
OWN_TEXTS = ('MultiModalDataset', 'RandomLoadText', 'LoadText',
             'MultiModalMosaic', 'yolow_collate')
PRETRAINING = (*OWN_TEXTS, 'YOLOv5Objects365V1Dataset',
               'YOLOv5MixedGroundingDataset', 'YOLOv5LVISV1Dataset')
MIXUP = 'YOLOv5MultiModalMixUp'


class Group(NamedTuple):
    """Configs that build and need the same.

    Args:
        pattern (str): Of their names.
        count (int): How many there are.
        detector, neck, block, head (str): Classes of the model.
        needs (tuple[str, ...]): Classes of ours that the data name.
        encoder (bool): Whether CLIP runs with the model.
        runs (bool): Whether they run here.
    """
    pattern: str
    count: int
    detector: str
    neck: str
    block: str
    head: str
    needs: Tuple[str, ...] = (*OWN_TEXTS, MIXUP)
    encoder: bool = True
    runs: bool = True


GROUPS = (
    Group('pretrain/*_cc3mlite_*', 1, 'YOLOWorldDetector', 'YOLOWorldPAFPN',
          TEXT, 'YOLOWorldHead',
          (*PRETRAINING, 'YOLOv5GeneralGroundingDataset')),
    Group('pretrain/*', 13, 'YOLOWorldDetector', 'YOLOWorldPAFPN', TEXT,
          'YOLOWorldHead', PRETRAINING),
    Group('pretrain_v1/*', 5, 'YOLOWorldDetector', 'YOLOWorldDualPAFPN',
          TEXT, 'YOLOWorldHead', PRETRAINING),
    Group('finetune_coco/*_efficient_neck_*', 2, 'YOLOWorldDetector',
          'YOLOWorldPAFPN', 'EfficientCSPLayerWithTwoConv', 'YOLOWorldHead'),
    Group('finetune_coco/yolo_world_v2_s_bn_*', 1, 'SimpleYOLOWorldDetector',
          'YOLOWorldPAFPN', 'EfficientCSPLayerWithTwoConv', 'YOLOv8Head',
          (), False),
    Group('finetune_coco/*_rep_*', 1, 'SimpleYOLOWorldDetector',
          'YOLOWorldPAFPN', 'RepConvMaxSigmoidCSPLayerWithTwoConv',
          'YOLOv8Head', (), False),
    Group('finetune_coco/*_dual_*', 2, 'YOLOWorldDetector',
          'YOLOWorldDualPAFPN', TEXT, 'YOLOWorldHead'),
    Group('finetune_coco/*', 7, 'YOLOWorldDetector', 'YOLOWorldPAFPN', TEXT,
          'YOLOWorldHead'),
    Group('prompt_tuning_coco/*', 3, 'SimpleYOLOWorldDetector',
          'YOLOWorldPAFPN', TEXT, 'YOLOWorldHead', (), False),
    Group('segmentation/yolo_world_v2_*', 2, 'YOLOWorldDetector',
          'YOLOWorldPAFPN', TEXT, 'YOLOWorldSegHead',
          (*OWN_TEXTS, MIXUP, 'YOLOv5LVISV1Dataset')),
    Group('segmentation/*', 4, 'YOLOWorldDetector', 'YOLOWorldDualPAFPN',
          TEXT, 'YOLOWorldSegHead',
          (*OWN_TEXTS, MIXUP, 'YOLOv5LVISV1Dataset')),
    Group('image_prompts/*', 1, 'YOLOWorldImageDetector', 'YOLOWorldPAFPN',
          TEXT, 'YOLOWorldHead',
          ('MultiModalDataset', 'LoadText', 'yolow_collate'), runs=False),
)
#: Names that are no classes of a registry: albumentations', mmcv's function.
FOREIGN = {'BboxParams', 'Blur', 'CLAHE', 'MedianBlur', 'ToGray', 'nms'}


def group_of(name: str) -> Group:
    """The first group whose pattern fits, as in the table."""
    return next(g for g in GROUPS if fnmatch.fnmatch(name, g.pattern))


def is_registered(name: str) -> bool:
    registries = [
        value for module in (mmyolo.registry, mmengine.registry)
        for value in vars(module).values() if isinstance(value, Registry)
    ]
    return any(r.get(name) for r in (*registries, COLLATE_FUNCTIONS))


@pytest.fixture(scope='module')
def originals(golden_dir):
    """Settings of the original's configs, and what its classes build."""
    return [
        json.loads((golden_dir / f'original_{what}.json').read_text())
        for what in ('configs', 'keys')
    ]


def build(model: dict) -> Optional[dict]:
    """Names and shapes of a model without its text encoder."""
    model = json.loads(json.dumps(model))
    model['backbone'].update(text_model=None, with_text_model=False)
    model.pop('embedding_path', None)
    # Nothing is computed, so nothing needs memory.
    with DefaultScope.overwrite_default_scope('mmyolo'), torch.device('meta'):
        state = MODELS.build(ConfigDict(model)).state_dict()
    return {key: list(value.shape) for key, value in state.items()}


def test_what_the_table_needs_is_here():
    assert sum(group.count for group in GROUPS) == 42
    assert sum(group.count for group in GROUPS if group.runs) == 41
    for group in GROUPS:
        assert group.runs == (group.detector not in REFUSED)
        for name in (*group[2:6], *group.needs):
            assert is_registered(name), name


def test_page_has_the_table():
    page = (REPOSITORY / 'docs' / 'migration.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| `(\w+/\S+)` \| (\d+) \| (.*) \|$', page, re.M)
    assert [(pattern, int(count)) for pattern, count, _ in rows
            ] == [group[:2] for group in GROUPS]
    for group, (_, _, needs) in zip(GROUPS, rows):
        assert group.runs != ('refused' in needs)
        assert group.encoder == ('CLIP' in needs)
        for name in group.needs:
            if name.startswith('YOLOv5') and name.endswith('Dataset'):
                assert name[len('YOLOv5'):-len('Dataset')] in needs


def test_table_is_that_of_the_configs(originals):
    configs, _ = originals
    found = {}
    for name, config in configs.items():
        group, model = group_of(name), config['model']
        found[group.pattern] = found.get(group.pattern, 0) + 1
        assert (model['type'], model['neck']['type'],
                model['neck']['block_cfg']['type'],
                model['bbox_head']['type']) == group[2:6], name
        types = set(config['other_types'])
        assert set(group.needs) <= types, name
        assert group.encoder == bool(model['backbone'].get('text_model'))
        if not group.needs:
            assert not types & {*OWN_TEXTS[:-1], MIXUP}
        missing = {
            kind
            for kind in types - FOREIGN if not is_registered(kind)
        }
        assert not missing, name
    assert found == {group.pattern: group.count for group in GROUPS}


def test_models_have_the_tensors_of_the_original(originals):
    """41 of 42, by name and shape; the other one is refused by name."""
    configs, keys = originals
    equal = []
    for name, config in configs.items():
        if group_of(name).runs:
            assert build(config['model']) == keys[name], name
            equal.append(name)
            continue
        with pytest.raises(ValueError, match='YOLOWorldImageDetector of the'):
            build(config['model'])
    assert len(equal) == 41
