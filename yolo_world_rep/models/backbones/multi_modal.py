"""An image backbone with an optional text encoder."""
from typing import Optional, Tuple

import torch.nn as nn
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register

from ..utils import freeze
from .language import Texts


@register(MODELS)
class MultiModalYOLOBackbone(BaseModule):
    """YOLO backbone for images, with an optional text encoder.

    Args:
        image_model (dict): The image backbone.
        text_model (dict, optional): The text encoder; required with
            ``with_text_model``. Defaults to None.
        frozen_stages (int): Freezes the image backbone's stages up to this
            one; -1 for none. Defaults to -1.
        with_text_model (bool): Whether texts are encoded. Defaults to True.
        init_cfg (dict, optional): Initialization. Defaults to None.

    Raises:
        ValueError: If a text model is asked for and not given, or
            ``frozen_stages`` is past the last stage.
    """

    def __init__(self, image_model: ConfigType,
                 text_model: OptConfigType = None, frozen_stages: int = -1,
                 with_text_model: bool = True,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if with_text_model and text_model is None:
            raise ValueError(
                'MultiModalYOLOBackbone: with_text_model=True and '
                'text_model=None. Give a text_model, or set '
                'with_text_model=False (reparameterized and prompt-tuned '
                'models need none).')
        self.image_model = MODELS.build(image_model)
        self.text_model = MODELS.build(text_model) if with_text_model else None
        stages = self.image_model.layers
        if not -1 <= frozen_stages < len(stages):
            raise ValueError(
                f'MultiModalYOLOBackbone: frozen_stages={frozen_stages}; '
                f'expected -1 (none) to {len(stages) - 1} '
                f'({stages[-1]}, the last).')
        self.frozen_stages = frozen_stages
        self._freeze_stages()

    @property
    def with_text_model(self) -> bool:
        """Whether there is a text encoder."""
        return self.text_model is not None

    def _freeze_stages(self) -> None:
        for name in self.image_model.layers[:self.frozen_stages + 1]:
            stage = getattr(self.image_model, name)
            stage.eval()
            freeze(stage)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self._freeze_stages()
        return self

    def forward(self, image: Tensor, text: Optional[Texts] = None
                ) -> Tuple[Tuple[Tensor, ...], Optional[Tensor]]:
        """Features of every level, and text embeddings (B, N, D) or None."""
        return self.forward_image(image), self.forward_text(text)

    def forward_image(self, image: Tensor) -> Tuple[Tensor, ...]:
        """Image features of every level, of (B, 3, H, W)."""
        return self.image_model(image)

    def forward_text(self, text: Optional[Texts]) -> Optional[Tensor]:
        """Text embeddings (B, N, D) of N texts per image, or None."""
        if text is None:
            return None
        if self.text_model is None:
            raise ValueError(
                'MultiModalYOLOBackbone has no text model to encode texts '
                'with; set with_text_model=True and text_model.')
        return self.text_model(text)
