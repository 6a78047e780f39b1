"""From a vocabulary to unit vectors: encoders, prompts, synonyms."""
import logging
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log

from ..utils.files import PathLike
from .embeddings import TextEmbeddings, computed
from .vocabulary import load_class_texts
from .words import WordEncoder

# What CLIP's text models read of a text, start and end tokens included.
CLIP_LENGTH = 77
# The text that public YOLO-World models pad their vocabularies with.
PADDING = ' '
SYNONYMS = ('first', 'mean')
# The CLIP that the public models were trained with, by the width of its texts.
CLIP_OF_WIDTH = {512: 'openai/clip-vit-base-patch32',
                 768: 'openai/clip-vit-large-patch14-336'}


def _from_cache_or_hub(model: str, *kinds: Any) -> List[Any]:
    """What these classes of transformers load from a folder or hub name."""

    def load(offline: bool) -> List[Any]:
        return [kind.from_pretrained(model, local_files_only=offline)
                for kind in kinds]

    try:
        return load(offline=True)
    except OSError:
        if os.path.isdir(model):
            raise
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    # Fails at once where transformers would try again for a minute.
    get_hf_file_metadata(hf_hub_url(model, 'config.json'))
    return load(offline=False)


class CLIPEncoder:
    """CLIP's text encoder through transformers, in batches.

    Args:
        model (str): A local folder, which is read offline, or a hub name.
        device (str): 'cpu', 'cuda', …, or 'auto' for a GPU where there is
            one. Defaults to 'auto'.
        batch_size (int): Texts encoded at once. Defaults to 64.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If the model cannot be loaded or the device is absent.
    """

    def __init__(self, model: str, device: str = 'auto',
                 batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ValueError(
                f'batch_size={batch_size}: expected at least 1 text.')
        import torch
        try:
            from transformers import AutoTokenizer, CLIPTextModelWithProjection
        except ImportError as error:
            raise ImportError('CLIP needs transformers: pip install '
                              '"yolo-world-rep[clip]"') from error
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        try:
            self.tokenizer, clip = _from_cache_or_hub(
                model, AutoTokenizer, CLIPTextModelWithProjection)
            self.model = clip.eval().to(device)
        except Exception as error:  # of the hub's library, torch, transformers
            reason = str(error).partition('\n')[0].rstrip('.')
            raise ValueError(
                f'model={model!r} on device={device!r} cannot be used: '
                f'{reason}. Give the folder or the hub name of a CLIP text '
                f'model, and a device that exists. Without network, run hf '
                f'download {model} --local-dir clip on another machine, copy '
                f'the folder here, and give its path.') from error
        self.name = f'clip:{os.path.basename(os.path.normpath(model))}'
        self.batch_size = batch_size
        self.dim = self.model.config.projection_dim

    def too_long(self, texts: Sequence[str]) -> List[str]:
        """The texts of which the model reads only the beginning."""
        rows = self.tokenizer(list(texts))['input_ids']
        return [text for text, tokens in zip(texts, rows)
                if len(tokens) > CLIP_LENGTH]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit rows (N, dim), float32, of N texts; long ones are cut off."""
        import torch
        rows = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start:start + self.batch_size])
            tokens = self.tokenizer(
                batch, padding=True, truncation=True, max_length=CLIP_LENGTH,
                return_tensors='pt').to(self.model.device)
            with torch.inference_mode():
                vectors = self.model(**tokens).text_embeds.double()
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
            rows[start:start + len(batch)] = vectors.cpu().numpy()
        return rows


Encoder = Union[CLIPEncoder, WordEncoder]


def check_vocabulary(texts: Sequence[Sequence[str]], name: str) -> None:
    """Check that every class has a text and a name of its own.

    Args:
        texts (Sequence[Sequence[str]]): Synonyms of each class.
        name (str): What to call the vocabulary in an error.

    Raises:
        ValueError: If a text is empty, or a class's name occurs twice.
    """
    seen: Dict[str, int] = {}
    for index, synonyms in enumerate(texts):
        if not all(text.strip() for text in synonyms):
            raise ValueError(f'{name}: entry {index} has an empty text '
                             f'({synonyms!r}); every class needs a name '
                             f'(yolo-world-rep embed --pad adds the padding).')
        first = seen.setdefault(synonyms[0], index)
        if first != index:
            raise ValueError(
                f'{name}: {synonyms[0]!r} names two classes, entries '
                f'{first} and {index}; give each class a name of its own.')


def prompts_of(synonyms: Sequence[str], formats: Sequence[str],
               use: str) -> List[str]:
    """The first synonym of a class, or all for 'mean', in each template."""
    chosen = synonyms[:1] if use == 'first' else synonyms
    return [template.format(text) for text in chosen for template in formats]


def check_formats(formats: Sequence[str]) -> None:
    """Check that each template has one place for a class's name."""
    for template in formats:
        try:
            whole = template.format('\0').count('\0') == 1
        except (AttributeError, IndexError, KeyError, ValueError):
            whole = False
        if not whole:
            raise ValueError(
                f'prompt_format={template!r}: expected a text with one {{}} '
                f'for the name of the class, such as "a photo of a {{}}".')


def embed_vocabulary(encoder: 'Encoder', texts: Sequence[Sequence[str]],
                     formats: Sequence[str] = ('{}', ),
                     synonyms: str = 'first', progress: bool = False
                     ) -> np.ndarray:
    """One unit vector for each class.

    A class with several prompts gets the mean of their unit vectors, scaled
    to unit norm. Prompts are encoded a few classes at a time, to save memory.

    Args:
        encoder (CLIPEncoder | WordEncoder): Has ``encode`` and ``dim``.
        texts (Sequence[Sequence[str]]): Synonyms of each of N classes.
        formats (Sequence[str]): Prompt templates. Defaults to ('{}', ).
        synonyms (str): 'first' or 'mean'. Defaults to 'first'.
        progress (bool): Show a bar after a second. Defaults to False.

    Returns:
        np.ndarray: Unit rows, float32, shape (N, dim).

    Raises:
        ValueError: If a template or ``synonyms`` is not as above, or the
            prompts of a class cancel out.
    """
    if synonyms not in SYNONYMS:
        raise ValueError(f'synonyms={synonyms!r}: expected one of {SYNONYMS}')
    check_formats(formats)
    from tqdm import tqdm
    rows = np.empty((len(texts), encoder.dim), np.float32)
    long: List[str] = []
    size = getattr(encoder, 'batch_size', 256)
    with tqdm(total=len(texts), delay=1, unit='class',
              disable=not progress) as bar:
        for start in range(0, len(texts), size):
            groups = [prompts_of(each, formats, synonyms)
                      for each in texts[start:start + size]]
            flat = [prompt for group in groups for prompt in group]
            if hasattr(encoder, 'too_long'):
                long += encoder.too_long(flat)
            vectors = encoder.encode(flat).astype(np.float64)
            ends = np.cumsum([len(group) for group in groups])
            for place, own in enumerate(np.split(vectors, ends[:-1]), start):
                rows[place] = _unit_mean(own, texts[place][0])
            bar.update(len(groups))
    if long:
        print_log(
            f'{len(long)} texts are longer than {CLIP_LENGTH} tokens and '
            f'were cut off: {[text[:60] for text in long[:5]]}', 'current',
            logging.WARNING)
    return rows


def _unit_mean(vectors: np.ndarray, name: str) -> np.ndarray:
    mean = vectors.mean(axis=0)
    norm = np.linalg.norm(mean)
    if norm < 1e-6:
        raise ValueError(f'The prompts of {name!r} cancel each other out; '
                         f'use fewer synonyms or templates.')
    return mean / norm


def embed_words(words: Union[PathLike, Sequence[str]], width: int,
                encoder: Optional[str] = None, device: str = 'auto',
                ) -> Tuple[TextEmbeddings, TextEmbeddings]:
    """Embed class names for a model that takes texts of some width.

    Args:
        words (str | Path | Sequence[str]): The names of N classes, or a file
            of them as of :func:`~.vocabulary.load_class_texts`.
        width (int): D of the model.
        encoder (str, optional): Folder or hub name of a CLIP text model, or
            'words' for :class:`WordEncoder`. Defaults to None for the CLIP
            that public models of this width were trained with.
        device (str): Of CLIP. Defaults to 'auto'.

    Returns:
        tuple[TextEmbeddings, TextEmbeddings]: The names (N, D), and the same
        with the padding behind them (N + 1, D), as the neck of public models
        wants them.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If a name is empty or occurs twice, or the encoder cannot
            be used, or makes texts of another width.
    """
    texts = load_class_texts(words) if isinstance(
        words, (str, os.PathLike)) else [[word] for word in words]
    source = str(words) if isinstance(words, (str, os.PathLike)) else 'words'
    if not texts:
        raise ValueError('There are no words; name one class or more.')
    check_vocabulary(texts, source)
    if encoder is None and width not in CLIP_OF_WIDTH:
        raise ValueError(
            f'The model takes texts that are {width} wide, as no CLIP of the '
            f'public models makes them ({", ".join(map(str, CLIP_OF_WIDTH))} '
            f'wide). Name the `encoder` that it was trained with.')
    chosen = make_encoder('words', dim=width) if encoder == 'words' else (
        CLIPEncoder(encoder or CLIP_OF_WIDTH[width], device))
    if chosen.dim != width:
        raise ValueError(
            f'The model takes texts that are {width} wide, and those of '
            f'encoder={encoder!r} are {chosen.dim} wide. Name the `encoder` '
            f'that the model was trained with.')
    names = tuple(each[0] for each in texts)
    vectors = embed_vocabulary(chosen, texts)
    rows = np.concatenate([vectors, chosen.encode([PADDING])])
    return (computed(vectors, names, chosen.name),
            computed(rows, (*names, PADDING), chosen.name))


def make_encoder(kind: str, model: Optional[str] = None, device: str = 'auto',
                 batch_size: int = 64, dim: int = 512) -> 'Encoder':
    """The encoder of a command line.

    Args:
        kind (str): 'clip' or 'words'.
        model (str, optional): Of CLIP.
        device (str): Of CLIP. Defaults to 'auto'.
        batch_size (int): Of CLIP. Defaults to 64.
        dim (int): Of the encoder of words. Defaults to 512.

    Raises:
        ValueError: If CLIP has no model.
    """
    if kind == 'words':
        return WordEncoder(dim=dim)
    if not model:
        raise ValueError(
            'model is missing: give the folder or hub name of a CLIP text '
            'model (such as openai/clip-vit-base-patch32), or set `kind` to '
            'words.')
    return CLIPEncoder(model, device, batch_size)
