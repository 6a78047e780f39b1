"""Where text embeddings come from while a model runs."""
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.checkpoint_file import read
from yolo_world_rep.registry import register
from yolo_world_rep.text import load_embeddings

from ..utils import freeze

Texts = Sequence[Sequence[str]]


def check_texts(texts: Texts) -> Tuple[List[str], int]:
    """All texts of a batch with N texts per image, and N."""
    counts = {len(of_image) for of_image in texts}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(
            f'Each image of a batch needs the same number of texts, at '
            f'least one; got {sorted(counts)}. In training set '
            f'padding_to_max=True in RandomLoadText.')
    return [text for of_image in texts for text in of_image], counts.pop()


@register(MODELS)
class HuggingCLIPLanguageBackbone(BaseModule):
    """CLIP's text encoder through transformers.

    Args:
        model_name (str): A local folder or a hub name.
        frozen_modules (Sequence[str]): Prefixes of the parts to freeze, or
            ``('all', )``. Defaults to ().
        dropout (float): Attention dropout. Defaults to 0.0.
        training_use_cache (bool): No effect. Public configs set it. Defaults
            to False.
        add_mask (bool): Must be False, see Raises. Defaults to False.
        init_cfg (dict, optional): Initialization. Defaults to None.

    Raises:
        ValueError: If ``add_mask``, with which padded texts would be left
            out of the loss. The one version of the original that has it
            cannot be imported, so there is nothing to agree with.
        ImportError: If transformers is not installed.
    """

    def __init__(self, model_name: str, frozen_modules: Sequence[str] = (),
                 dropout: float = 0.0, training_use_cache: bool = False,
                 add_mask: bool = False,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if add_mask:
            raise ValueError(
                'HuggingCLIPLanguageBackbone: add_mask=True is not '
                'supported: padded texts are trained as texts that nothing '
                'in the image fits. Remove add_mask, or leave padding out '
                'with padding_to_max=False in RandomLoadText.')
        try:
            from transformers import (
                AutoTokenizer,
                CLIPTextConfig,
                CLIPTextModelWithProjection,
            )
        except ImportError as error:
            raise ImportError(
                'HuggingCLIPLanguageBackbone needs transformers: '
                'pip install "yolo-world-rep[clip]". A reparameterized '
                'model needs no text encoder.') from error
        self.frozen_modules = tuple(frozen_modules)
        self.tokenizer = AutoTokenizer.from_pretrained(model_name)
        config = CLIPTextConfig.from_pretrained(
            model_name, attention_dropout=dropout)
        self.model = CLIPTextModelWithProjection.from_pretrained(
            model_name, config=config)
        self._freeze()

    def _freeze(self) -> None:
        if 'all' in self.frozen_modules:
            self.model.eval()
            freeze(self.model)
            return
        for name, module in self.model.named_modules():
            if name and name.startswith(self.frozen_modules):
                module.eval()
                freeze(module)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self._freeze()
        return self

    def forward(self, text: Texts) -> Tensor:
        """Encode N texts of each of B images: (B, N, D) of unit norm."""
        flat, count = check_texts(text)
        tokens = self.tokenizer(
            flat, return_tensors='pt', padding=True, truncation=True)
        device = next(self.model.parameters()).device
        embeddings = self.model(**tokens.to(device)).text_embeds
        embeddings = nn.functional.normalize(embeddings, dim=-1)
        return embeddings.unflatten(0, (-1, count))


@register(MODELS)
class PseudoLanguageBackbone(BaseModule):
    """Text embeddings looked up in a file instead of computed.

    A text of several synonyms, ``'aerosol can/spray can'``, is looked up by
    the first one if the file lacks it as a whole.

    Args:
        model_name (str): No effect. Public configs set it.
        text_embed_path (str): A ``.pth`` with a dict from text to vector,
            or a ``.npy`` whose sidecar names its rows.
        test_embed_path (str, optional): The same for evaluation.
            Defaults to None for ``text_embed_path``.
        init_cfg (dict, optional): Initialization. Defaults to None.

    Raises:
        ValueError: If a file holds something else.
    """

    def __init__(self, model_name: str = '', text_embed_path: str = '',
                 test_embed_path: Optional[str] = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.paths = dict(
            train=text_embed_path, test=test_embed_path or text_embed_path)
        self.rows: Dict[str, Dict[str, int]] = {}
        for split, path in self.paths.items():
            texts, vectors = _load_table(path)
            self.rows[split] = {text: row for row, text in enumerate(texts)}
            # Not weights: they stay out of the checkpoint.
            self.register_buffer(f'{split}_table', vectors, persistent=False)

    def forward(self, text: Texts) -> Tensor:
        """Look up N texts of each of B images: (B, N, D)."""
        split = 'train' if self.training else 'test'
        rows, table = self.rows[split], getattr(self, f'{split}_table')
        flat, count = check_texts(text)
        flat = [text if text in rows else text.split('/')[0] for text in flat]
        unknown = sorted({text for text in flat if text not in rows})
        if unknown:
            raise ValueError(
                f'PseudoLanguageBackbone: {len(unknown)} texts are not in '
                f'{self.paths[split]}: {unknown[:5]}. Make embeddings for '
                f'them and name that file.')
        index = torch.tensor([rows[text] for text in flat],
                             device=table.device)
        return table[index].unflatten(0, (-1, count))


def _load_table(path: str) -> Tuple[List[str], Tensor]:
    """Texts and their vectors, from either kind of file."""
    if not Path(path).is_file():
        raise ValueError(
            f'PseudoLanguageBackbone: text_embed_path={path!r} is not a '
            f'file. Give a .pth (dict from text to vector) or a .npy with '
            f'its sidecar.')
    if path.endswith('.npy'):
        embeddings = load_embeddings(path)
        if embeddings.names is None:
            raise ValueError(
                f'PseudoLanguageBackbone: {path} has no sidecar that names '
                f'its rows. Write both with yolo_world_rep.text.'
                f'save_embeddings.')
        return list(embeddings.names), torch.from_numpy(
            embeddings.vectors.copy())
    table = read(path)
    if isinstance(table, dict):
        table = table.get('state_dict', table)
    if not isinstance(table, dict) or not table or not all(
            isinstance(text, str) and isinstance(vector, Tensor)
            for text, vector in table.items()):
        raise ValueError(
            f'PseudoLanguageBackbone: {path} holds something else; expected '
            f'a dict from text to vector, a tensor.')
    return list(table), torch.stack(
        [vector.float().flatten() for vector in table.values()])
