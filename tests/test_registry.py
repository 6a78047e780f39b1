"""Registration in mmyolo's registries."""
import subprocess
import sys
from types import SimpleNamespace

import mmdet.registry
import mmengine.registry
import mmyolo.registry
import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from mmyolo.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
)

from yolo_world_rep.engine import check_config
from yolo_world_rep.models.refused import REFUSED
from yolo_world_rep.registry import _add_locations, register

NAMES = {
    MODELS: [
        'RepConvMaxSigmoidAttnBlock', 'RepMatrixMaxSigmoidAttnBlock',
        'RepConvMaxSigmoidCSPLayerWithTwoConv',
        'RepMaxSigmoidCSPLayerWithTwoConv', 'RepBNContrastiveHead',
        'RepContrastiveHead', 'RepYOLOWorldHeadModule', 'YOLOWorldPAFPN',
        'YOLOWorldDualPAFPN', 'MaxSigmoidAttnBlock',
        'MaxSigmoidCSPLayerWithTwoConv', 'EfficientCSPLayerWithTwoConv',
        'ImagePoolingAttentionModule', 'ContrastiveHead',
        'BNContrastiveHead', 'YOLOWorldHeadModule', 'YOLOWorldHead',
        'MultiModalYOLOBackbone', 'HuggingCLIPLanguageBackbone',
        'PseudoLanguageBackbone', 'YOLOWorldDetector',
        'SimpleYOLOWorldDetector', 'YOLOWorldPromptDetector',
        'YOLOWDetDataPreprocessor'
    ],
    DATASETS: [
        'MultiModalDataset', 'MultiModalMixedDataset',
        'YOLOv5LVISV1Dataset', 'YOLOv5Objects365V1Dataset',
        'YOLOv5Objects365V2Dataset', 'YOLOv5MixedGroundingDataset',
        'YOLOv5GeneralGroundingDataset', 'V3DetDataset', 'YOLOv5V3DetDataset'
    ],
    TRANSFORMS: [
        'LoadText', 'RandomLoadText', 'MultiModalMosaic', 'MultiModalMosaic9',
        'YOLOv5MultiModalMixUp', 'YOLOXMultiModalMixUp'
    ],
    OPTIM_WRAPPER_CONSTRUCTORS: ['YOLOWv5OptimizerConstructor'],
    HOOKS: ['CheckpointGuardHook'],
}


@pytest.mark.parametrize(
    ('registry', 'name'),
    [(registry, name) for registry, names in NAMES.items()
     for name in names])
def test_a_config_can_name(registry, name):
    assert registry.get(name).__module__.startswith('yolo_world_rep.')


@pytest.mark.parametrize('imports', [
    'yolo_world_rep, mmyolo.registry',
    'mmyolo.registry, yolo_world_rep',
    'yolo_world_rep, mmyolo.utils',
    'yolo_world_rep.detector.fusion',
])
def test_in_any_order_of_imports(imports):
    """Lookups find ours, whatever was imported or looked up before."""
    names = [
        ('HOOKS', 'YOLOv5ParamSchedulerHook'), ('MODELS', 'YOLOv8Head'),
        ('DATASETS', 'YOLOv5LVISV1Dataset'), ('HOOKS', 'TrainingReportHook'),
        ('MODELS', 'YOLOWorldPAFPN'), ('MODELS', 'ExactExpMomentumEMA'),
        ('RUNNERS', 'VariablesRunner'), ('TRANSFORMS', 'LoadText'),
        ('TASK_UTILS', 'SparseTaskAlignedAssigner')]
    lookups = [f'assert mmyolo.registry.{key}.get({name!r}), {name!r}'
               for key, name in names]
    code = '\n'.join([
        f'import {imports}', 'import mmyolo.registry', *lookups])
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_was_looked_up_before_hides_nothing(monkeypatch):
    """As where a compiled mmcv let mmyolo's models be imported without us."""
    registry = Registry('thing', scope='mmyolo', locations=['json'])
    assert registry.get('nothing') is None
    monkeypatch.setattr('yolo_world_rep.registry.ROOMS', ['no_such_room'])
    _add_locations(SimpleNamespace(THINGS=registry, OTHERS=MODELS.parent))
    with pytest.raises(ImportError, match='no_such_room'):
        registry.get('nothing')
    assert 'no_such_room' not in MODELS.parent._locations


def test_a_name_taken_by_another_package():
    """The error says which name, who has it and what to do."""

    class YOLOWorldPAFPN:
        """As another package would register it."""

    with pytest.raises(
            ImportError,
            match="'YOLOWorldPAFPN'.*yolo_world_rep.models.necks.*"
            'custom_imports'):
        register(MODELS)(YOLOWorldPAFPN)
    assert MODELS.get('YOLOWorldPAFPN') is not YOLOWorldPAFPN


# mmdet has them as well; the original, whose configs name them, too.
SHARED = {'V3DetDataset'}


def test_no_name_hides_one_of_the_packages_below():
    """Else every config of the process would get ours."""
    for key, ours in vars(mmyolo.registry).items():
        if not isinstance(ours, Registry):
            continue
        ours.import_from_location()
        below = set().union(*(
            getattr(package, key).module_dict
            for package in (mmdet.registry, mmengine.registry)
            if hasattr(package, key)))
        names = {name for name, kind in ours.module_dict.items()
                 if kind.__module__.startswith('yolo_world_rep')}
        assert names & below <= SHARED, key


@pytest.mark.parametrize('name', REFUSED)
def test_what_stays_out_is_refused_by_name(name):
    """By whatever builds it, and before a training builds anything."""
    reason = f'{name} of the original YOLO-World is not here: '
    with pytest.raises(ValueError, match=reason):
        MODELS.build(dict(type=name, anything=1))
    with pytest.raises(ValueError, match=reason):
        check_config(
            Config(dict(model=dict(neck=[dict(type=f'mmyolo.{name}')]))))
