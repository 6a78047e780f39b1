"""Vocabularies: class texts, embeddings files, an encoder of words.

Nothing in here needs torch or mmyolo, so that a checkpoint can be
converted without them.
"""
from .embeddings import TextEmbeddings, load_embeddings, save_embeddings
from .vocabulary import class_names, load_class_texts
from .words import WordEncoder

__all__ = [
    'TextEmbeddings', 'WordEncoder', 'class_names', 'load_class_texts',
    'load_embeddings', 'save_embeddings'
]
