"""A real CLIP text model of a few kilobytes, with its own tokenizer."""
import json
from pathlib import Path

import torch

ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
SPECIALS = ('<|startoftext|>', '<|endoftext|>')


def save_tiny_clip(folder: Path, projection_dim: int = 64) -> Path:
    """Build a random CLIP text model and save it as transformers does.

    Args:
        folder (Path): Where to; made when missing.
        projection_dim (int): Width of the embeddings. Defaults to 64.

    Returns:
        Path: The folder.
    """
    from transformers import (
        CLIPTextConfig,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )
    folder.mkdir(parents=True, exist_ok=True)
    # Letters, letters that end a word, and no merges: one token a letter.
    tokens = [*ALPHABET, *(letter + '</w>' for letter in ALPHABET), *SPECIALS]
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / 'vocab.json').write_text(json.dumps(vocab))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    CLIPTokenizer.from_pretrained(
        str(folder), model_max_length=77).save_pretrained(str(folder))
    torch.manual_seed(0)
    end = vocab[SPECIALS[1]]
    CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(vocab),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=projection_dim,
            bos_token_id=vocab[SPECIALS[0]],
            eos_token_id=end,
            pad_token_id=end)).save_pretrained(str(folder))
    return folder
