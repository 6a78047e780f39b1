"""YOLO-World detectors: with a text encoder, with fixed texts, with none."""
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmdet.structures import OptSampleList, SampleList
from mmengine.structures import InstanceData
from mmyolo.models.detectors import YOLODetector
from mmyolo.registry import MODELS
from torch import Tensor

from yolo_world_rep.registry import register
from yolo_world_rep.reparam import folding
from yolo_world_rep.text import load_embeddings
from yolo_world_rep.utils.log import log

from ..dense_heads.yolo_world_head import YOLOWorldHead
from ..layers import GATE, UngatedAttnBlock
from ..necks import YOLOWorldPAFPN
from ..utils import freeze_parts

Texts = List[List[str]]
ImageFeatures = Tuple[Tensor, ...]
Samples = Union[None, dict, SampleList]


class _YOLOWorld(YOLODetector):
    """What the detectors share: features, names, and what a load may lack."""

    def __init__(self, *args, mm_neck: bool = False,
                 num_train_classes: int = 80, num_test_classes: int = 80,
                 frozen: Sequence[str] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if mm_neck and not isinstance(self.neck, YOLOWorldPAFPN):
            raise ValueError(
                f'{type(self).__name__}: mm_neck=True, but '
                f'{type(self.neck).__name__} takes no texts. Set '
                f'mm_neck=False, or use YOLOWorldPAFPN.')
        self.mm_neck = mm_neck
        self.neck_takes_text = mm_neck and self.neck.takes_text
        self.num_train_classes = num_train_classes
        self.num_test_classes = num_test_classes
        self.frozen = frozen
        # Before the optimizer and DDP look at the parameters.
        freeze_parts(self, frozen)
        # mmdet's convention: who loads a checkpoint or builds a dataset
        # puts its class names here, under 'classes'.
        self.dataset_meta: Optional[dict] = None

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if mode:
            freeze_parts(self, self.frozen)
        return self

    @property
    def text_conditioned(self) -> bool:
        """Whether the head takes texts."""
        return isinstance(self.bbox_head, YOLOWorldHead)

    def encode_texts(self, batch_inputs: Tensor, samples: Samples) -> Tensor:
        """Text embeddings of each image, (B, N, D)."""
        raise NotImplementedError

    def extract_feat(
        self, batch_inputs: Tensor, batch_data_samples: Samples = None
    ) -> Union[ImageFeatures, Tuple[ImageFeatures, Tensor]]:
        """Features of every level; with texts (B, N, D) if the head asks."""
        img_feats = self.backbone.forward_image(batch_inputs)
        txt_feats = None
        if self.text_conditioned or self.neck_takes_text:
            txt_feats = self.encode_texts(batch_inputs, batch_data_samples)
        img_feats = self.neck(img_feats, txt_feats) if self.mm_neck else (
            self.neck(img_feats))
        return (img_feats, txt_feats) if self.text_conditioned else img_feats

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: Union[dict, SampleList]) -> dict:
        x = self.extract_feat(batch_inputs, batch_data_samples)
        return self.bbox_head.loss(x, batch_data_samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        x = self.extract_feat(batch_inputs, batch_data_samples)
        results = self.bbox_head.predict(x, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: OptSampleList = None) -> Tuple[List]:
        x = self.extract_feat(batch_inputs, batch_data_samples)
        return self.bbox_head.forward(x)

    def class_names(self, sample) -> Optional[Sequence[str]]:
        """Names of the classes of an image's predictions, or None."""
        return (self.dataset_meta or {}).get('classes')

    def add_pred_to_datasample(
            self, data_samples: SampleList,
            results_list: List[InstanceData]) -> SampleList:
        """Put predictions, with their ``label_names``, into the samples."""
        for sample, result in zip(data_samples, results_list):
            names = self.class_names(sample)
            if names is None:
                continue
            if len(names) != self.bbox_head.num_classes:
                log(f'The model has {self.bbox_head.num_classes} classes and '
                    f'dataset_meta names {len(names)}: predictions get no '
                    f'label_names.')
                continue
            result.label_names = [
                names[label] for label in result.labels.tolist()]
        return super().add_pred_to_datasample(data_samples, results_list)

    def checkpoint_allowances(self) -> Dict[str, List[str]]:
        """Key prefixes that a whole load may lack or have in excess."""
        unexpected = []
        if not self.backbone.with_text_model:
            # The encoder of the checkpoint this model was derived from.
            unexpected.append('backbone.text_model.')
        # A neck without gates starts from a checkpoint with them.
        ungated = [name for name, module in self.named_modules()
                   if isinstance(module, UngatedAttnBlock)]
        unexpected += [f'{name}.{part}' for name in ungated for part in GATE]
        if ungated:
            unexpected += ['neck.text_enhancer.', 'neck.texts']
        return dict(missing=[], unexpected=unexpected)


def _first_of_each(texts: Sequence[Union[str, Sequence[str]]]) -> List[str]:
    """Texts without the synonyms that some of them have."""
    return [text if isinstance(text, str) else text[0] for text in texts]


@register(MODELS)
class YOLOWorldDetector(_YOLOWorld):
    """YOLO-World with its text encoder: detects the texts it is given.

    Args:
        mm_neck (bool): Whether the neck takes texts. Defaults to False.
        num_train_classes (int): Texts per image in training. Defaults to 80.
        num_test_classes (int): Texts per image in tests. Defaults to 80.
        frozen (Sequence[str]): Names of modules or parameters whose weights
            and statistics do not train, ``*`` standing for anything.
            Defaults to ().
        **kwargs: As mmyolo's YOLODetector.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.texts: Optional[Texts] = None
        self.text_feats: Optional[Tensor] = None

    def reparameterize(self, texts: Texts) -> None:
        """Fix the texts: encode them once and use them for every image.

        Of the synonyms of each class in ``texts`` the first one counts.
        """
        names = [synonyms[0] for synonyms in texts]
        with torch.no_grad():
            self.text_feats = self.backbone.forward_text([names])
        self.texts = [[name] for name in names]

    def _texts_of_batch(self, samples: Samples) -> Texts:
        """The texts of each image, wherever they are."""
        if isinstance(samples, dict) and 'texts' in samples:
            return samples['texts']
        if isinstance(samples, (list, tuple)) and samples and all(
                'texts' in sample for sample in samples):
            return [_first_of_each(sample.texts) for sample in samples]
        raise ValueError(
            'YOLOWorldDetector got no texts. Put LoadText or '
            'RandomLoadText into the pipeline and \'texts\' into the '
            'meta_keys of PackDetInputs, with yolow_collate and '
            'YOLOWDetDataPreprocessor; or call '
            'model.reparameterize([[\'person\'], …]) first.')

    def encode_texts(self, batch_inputs: Tensor, samples: Samples) -> Tensor:
        if self.text_feats is not None and not self.training:
            return self.text_feats.to(batch_inputs).expand(
                len(batch_inputs), -1, -1)
        texts = self._texts_of_batch(samples)
        if isinstance(samples, dict) or len(set(map(tuple, texts))) > 1:
            return self.backbone.forward_text(texts)
        # One vocabulary for all images, as in testing: encode it once.
        return self.backbone.forward_text(texts[:1]).expand(len(texts), -1, -1)

    def class_names(self, sample) -> Optional[Sequence[str]]:
        texts = self.texts if self.text_feats is not None else (
            self._texts_of_batch([sample])[0])
        return _first_of_each(texts)


@register(MODELS)
class SimpleYOLOWorldDetector(_YOLOWorld):
    """YOLO-World without a text encoder.

    Either its texts are a parameter (zero-shot with given embeddings, prompt
    tuning), or they are folded into the weights.

    Args:
        mm_neck (bool): Whether the neck takes texts. Defaults to False.
        num_train_classes (int): Texts per image in training. Defaults to 80.
        num_test_classes (int): Texts per image in tests. Defaults to 80.
        frozen (Sequence[str]): Names of modules or parameters whose weights
            and statistics do not train, ``*`` standing for anything.
            Defaults to ().
        prompt_dim (int): D, width of a text embedding. Defaults to 512.
        num_prompts (int): N, number of texts. Defaults to 80.
        embedding_path (str): ``.npy`` of N×D embeddings to start from;
            if empty, random unit rows. Defaults to ''.
        reparameterized (bool): Whether the texts are in the weights of head
            and neck, so there are no prompts. If the layers of the neck are
            text-conditioned (a checkpoint converted with --head-only), their
            texts are the prompts. Defaults to False.
        freeze_prompt (bool): Whether the prompts are frozen. Defaults to
            False.
        use_mlp_adapter (bool): Whether a residual two-layer MLP refines the
            prompts. Defaults to False.
        **kwargs: As mmyolo's YOLODetector.

    Raises:
        ValueError: If head and ``reparameterized`` do not fit, or the
            embeddings are not num_prompts×prompt_dim.
    """

    def __init__(self, *args, prompt_dim: int = 512, num_prompts: int = 80,
                 embedding_path: str = '', reparameterized: bool = False,
                 freeze_prompt: bool = False, use_mlp_adapter: bool = False,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.reparameterized = reparameterized
        self.embedding_path = embedding_path
        self.embeddings = None
        self.adapter = None
        if reparameterized == self.text_conditioned:
            head = type(self.bbox_head).__name__
            raise ValueError(
                f'SimpleYOLOWorldDetector: reparameterized='
                f'{reparameterized} does not go with {head}. A '
                f'reparameterized model has a YOLOv8Head or '
                f'RepYOLOWorldHead around RepYOLOWorldHeadModule, any other '
                f'a YOLOWorldHead.')
        if reparameterized and not self.neck_takes_text:
            return
        self.embeddings = nn.Parameter(
            self._initial_prompts(embedding_path, num_prompts, prompt_dim),
            requires_grad=not freeze_prompt)
        if use_mlp_adapter and not reparameterized:
            self.adapter = nn.Sequential(
                nn.Linear(prompt_dim, prompt_dim * 2), nn.ReLU(True),
                nn.Linear(prompt_dim * 2, prompt_dim))

    @staticmethod
    def _initial_prompts(path: str, num_prompts: int,
                         prompt_dim: int) -> Tensor:
        """Rows of a file, or random unit rows."""
        if not path:
            return F.normalize(torch.randn(num_prompts, prompt_dim), dim=-1)
        vectors = torch.from_numpy(load_embeddings(path).vectors.copy())
        if vectors.shape != (num_prompts, prompt_dim):
            raise ValueError(
                f'SimpleYOLOWorldDetector: embedding_path={path!r} holds '
                f'{tuple(vectors.shape)}, expected (num_prompts, '
                f'prompt_dim) = ({num_prompts}, {prompt_dim}). Set these '
                f'to the file\'s.')
        return vectors

    def prompts(self) -> Tensor:
        """The texts as neck and head take them, (N, D).

        Behind an adapter if there is one; as they were folded into the head
        where only the neck takes them.
        """
        if self.reparameterized:
            return self.embeddings
        adapter = None
        if self.adapter is not None:
            first, _, second = self.adapter
            adapter = (first.weight, first.bias, second.weight, second.bias)
        return folding.adapt_prompts(self.embeddings, adapter)

    def encode_texts(self, batch_inputs: Tensor, samples: Samples) -> Tensor:
        return self.prompts().expand(len(batch_inputs), -1, -1)

    def checkpoint_allowances(self) -> Dict[str, List[str]]:
        """As of any detector; prompts may come from their file."""
        allowances = super().checkpoint_allowances()
        if self.embeddings is None:
            # The original's converter leaves tuned prompts beside the rows
            # that it folds from a file.
            allowances['unexpected'] += ['embeddings', 'adapter']
        if self.embedding_path:
            allowances['missing'].append('embeddings')
        if self.adapter is not None:
            # New in prompt tuning: no checkpoint of the pre-training has it.
            allowances['missing'].append('adapter.')
        return allowances


@register(MODELS)
class YOLOWorldPromptDetector(SimpleYOLOWorldDetector):
    """:class:`SimpleYOLOWorldDetector` by its name in the release 0.10.0.

    The arguments are the same.
    """
