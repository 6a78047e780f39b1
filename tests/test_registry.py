"""Registration in mmyolo's registries."""
import pytest
from mmyolo.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
)

from yolo_world_rep.registry import register

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
    DATASETS: ['MultiModalDataset', 'MultiModalMixedDataset'],
    TRANSFORMS: ['LoadText', 'RandomLoadText'],
    OPTIM_WRAPPER_CONSTRUCTORS: ['YOLOWv5OptimizerConstructor'],
    HOOKS: ['CheckpointGuardHook'],
}


@pytest.mark.parametrize(
    ('registry', 'name'),
    [(registry, name) for registry, names in NAMES.items()
     for name in names])
def test_a_config_can_name(registry, name):
    assert registry.get(name).__module__.startswith('yolo_world_rep.')


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
