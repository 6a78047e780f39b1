"""Layers of the neck."""
from .csp import (
                  EfficientCSPLayerWithTwoConv,
                  MaxSigmoidCSPLayerWithTwoConv,
                  RepConvMaxSigmoidCSPLayerWithTwoConv,
                  RepMaxSigmoidCSPLayerWithTwoConv,
)
from .image_pooling import (
                  ImagePoolingAttentionModule,
                  RepImagePoolingAttentionModule,
)
from .max_sigmoid import (
                  GATE,
                  MaxSigmoidAttnBlock,
                  RepConvMaxSigmoidAttnBlock,
                  RepMatrixMaxSigmoidAttnBlock,
                  UngatedAttnBlock,
)

__all__ = [
    'GATE', 'EfficientCSPLayerWithTwoConv', 'ImagePoolingAttentionModule',
    'MaxSigmoidAttnBlock', 'MaxSigmoidCSPLayerWithTwoConv',
    'RepConvMaxSigmoidAttnBlock', 'RepConvMaxSigmoidCSPLayerWithTwoConv',
    'RepImagePoolingAttentionModule', 'RepMatrixMaxSigmoidAttnBlock',
    'RepMaxSigmoidCSPLayerWithTwoConv', 'UngatedAttnBlock'
]
