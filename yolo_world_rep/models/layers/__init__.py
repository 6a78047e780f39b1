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
                  MaxSigmoidAttnBlock,
                  RepConvMaxSigmoidAttnBlock,
                  RepMatrixMaxSigmoidAttnBlock,
)

__all__ = [
    'EfficientCSPLayerWithTwoConv', 'ImagePoolingAttentionModule',
    'MaxSigmoidAttnBlock', 'MaxSigmoidCSPLayerWithTwoConv',
    'RepConvMaxSigmoidAttnBlock', 'RepConvMaxSigmoidCSPLayerWithTwoConv',
    'RepImagePoolingAttentionModule', 'RepMatrixMaxSigmoidAttnBlock',
    'RepMaxSigmoidCSPLayerWithTwoConv'
]
