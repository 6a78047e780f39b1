"""Vocabularies: class texts, embeddings files, an encoder of words.

Nothing but CLIP's encoder needs torch, and nothing needs mmyolo, so that a
checkpoint can be converted without it.
"""
from .embeddings import TextEmbeddings, load_embeddings, save_embeddings
from .encoders import (
    PADDING,
    CLIPEncoder,
    check_vocabulary,
    embed_vocabulary,
    embed_words,
    make_encoder,
)
from .names import class_names, load_class_names
from .vocabulary import load_class_texts
from .words import WordEncoder

__all__ = ['PADDING', 'CLIPEncoder', 'TextEmbeddings', 'WordEncoder',
           'check_vocabulary', 'class_names', 'embed_vocabulary',
           'embed_words', 'load_class_names', 'load_class_texts',
           'load_embeddings', 'make_encoder', 'save_embeddings']
