"""Tiny checkpoints of every kind, and ways to spoil them."""
import io
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import torch
from hostile import Marker, edits, values
from hypothesis import strategies as st

WIDTH, HEADS, EMBED = 6, 2, 8
NAMES = ('cat', 'dog', 'Zürich')
NECK = 'neck.top_down_layers.0.attn_block'
HEAD = 'bbox_head.head_module'


def text_conditioned(seed: int = 0) -> Dict[str, torch.Tensor]:
    """The layers that conversion looks at, and some that it does not."""
    random = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.randn(tuple(shape), generator=random)

    state = {
        'backbone.image_model.stem.conv.weight': rand(32, 3, 3, 3),
        f'{NECK}.guide_fc.weight': rand(EMBED, WIDTH),
        f'{NECK}.guide_fc.bias': rand(EMBED),
        f'{NECK}.bias': rand(HEADS),
        f'{NECK}.project_conv.conv.weight': rand(4, 4, 3, 3)
    }
    for level in range(2):
        own = f'{HEAD}.cls_contrasts.{level}'
        state.update({
            f'{HEAD}.cls_preds.{level}.2.bias': rand(WIDTH),
            f'{HEAD}.cls_preds.{level}.2.weight': rand(WIDTH, 4, 1, 1),
            f'{own}.norm.weight': rand(WIDTH),
            f'{own}.norm.num_batches_tracked': torch.tensor(7),
            f'{own}.bias': rand(1)[0],
            f'{own}.logit_scale': rand(1)[0]
        })
    return state


def texts(count: int = len(NAMES), seed: int = 1) -> np.ndarray:
    """Unit rows."""
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype('f4')


def expected_folds(state: Dict[str, torch.Tensor],
                   rows: np.ndarray) -> Dict[str, np.ndarray]:
    """What folding has to give, by NumPy and the equations alone."""
    rows = rows.astype('f8')
    unit = rows / np.sqrt((rows**2).sum(1, keepdims=True))
    folds = {}
    state = {key: each.detach() for key, each in state.items()}
    for key, tensor in state.items():
        layer, _, part = key.rpartition('.')
        if key.endswith('.guide_fc.weight'):
            layer = layer[:-len('.guide_fc')]
            guides = rows @ tensor.double().numpy().T + (
                state[f'{layer}.guide_fc.bias'].double().numpy())
            folds[f'{layer}.guide_weight'] = np.stack(
                np.split(guides, len(state[f'{layer}.bias']), axis=1))
        elif part == 'logit_scale':
            folds[f'{layer}.conv.weight'] = (
                unit * np.exp(float(tensor)))[:, :, None, None]
            folds[f'{layer}.conv.bias'] = np.full(
                len(rows), float(state[f'{layer}.bias']))
    return folds


# --- damage to what a state dict holds

def _shapes(draw: Any) -> Sequence[int]:
    return draw(st.lists(st.integers(0, 9), max_size=5))


@st.composite
def spoils(draw: Any) -> Callable[[Dict[str, Any]], Dict[str, Any]]:
    """Changes of a state dict, of one entry to three."""
    steps: List[Any] = draw(st.lists(st.tuples(
        st.integers(0, 40),
        st.sampled_from(['drop', 'shape', 'dtype', 'nan', 'inf', 'zero',
                         'value', 'twin', 'rename', 'expand', 'wrap',
                         'foreign', 'key', 'large', 'parameter']),
        st.integers(0, 2**31)), min_size=1, max_size=3))
    shape = _shapes(draw)
    value = draw(values)
    dtype = draw(st.sampled_from([
        torch.float16, torch.bfloat16, torch.float64, torch.int8,
        torch.uint8, torch.int64, torch.bool, torch.complex64]))
    name = draw(st.sampled_from([
        'x', '', '..', 'embeddings', 'neck.texts', 'adapter.0.weight',
        f'{NECK}.guide_weight', f'{NECK}.guide_convs.0.weight',
        f'{NECK}.scale', f'{HEAD}.cls_contrasts.9.logit_scale',
        'neck.text_enhancer.query.1.weight', 'neck.[/red].guide_fc.weight',
        'backbone.text_model.x']))

    def spoil(state: Dict[str, Any]) -> Dict[str, Any]:
        state = dict(state)
        for place, kind, seed in steps:
            if not state:
                break
            key = list(state)[place % len(state)]
            tensor = state[key]
            random = torch.Generator().manual_seed(seed)
            if kind == 'drop':
                del state[key]
            elif kind == 'shape':
                state[key] = torch.randn(tuple(shape), generator=random)
            elif kind == 'value':
                state[key] = value
            elif kind == 'twin':
                state[f'module.{key}'] = torch.randn(3)
            elif kind == 'rename':
                state[name] = state.pop(key)
            elif kind == 'expand':
                state[key] = torch.zeros(1).expand(10**9, 10**3)
            elif kind == 'wrap':
                state = {f'module.{k}': v for k, v in state.items()}
            elif kind == 'foreign':
                state[name] = torch.randn(tuple(shape), generator=random)
            elif kind == 'key':
                state[(1, 2) if seed % 2 else seed] = state.pop(key)
            elif not isinstance(tensor, torch.Tensor) or (
                    tensor.numel() > 10**6 or not tensor.numel()):
                continue
            elif kind == 'dtype':
                state[key] = tensor.to(dtype)
            elif kind == 'parameter':
                state[key] = torch.nn.Parameter(
                    tensor, tensor.is_floating_point())
            elif tensor.is_floating_point():
                changed = tensor.detach().clone()
                if kind == 'large':
                    changed.mul_(1e18)
                elif kind == 'zero':
                    changed.zero_()
                else:
                    changed.view(-1)[seed % changed.numel()] = float(kind)
                state[key] = changed
        return state

    return spoil


# --- damage to a file

def pickled(content: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def legacy(content: Any) -> bytes:
    """What torch before 1.6 wrote."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def repacked(data: bytes, change: Callable[[bytes], bytes],
             entry: str = 'data.pkl', **settings: Any) -> bytes:
    """The archive with another entry, its checksums right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(
            out, 'w', **settings) as after:
        for info in before.infolist():
            content = before.read(info)
            if info.filename.endswith(entry):
                content = change(content)
            after.writestr(info.filename, content)
    return out.getvalue()


class Odd:
    """A global of any name, called and filled as the file likes."""

    def __init__(self, reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


@st.composite
def hostile_objects(draw: Any) -> Callable[[Path], Any]:
    """Objects of a pickle that try to run code, by the marker's path."""
    how = draw(st.integers(0, 4))
    wrap = draw(st.sampled_from(['plain', 'list', 'dict', 'state', 'twice']))

    def make(marker: Path) -> Any:
        inner: Any = Marker(marker, how)
        if wrap == 'list':
            return [inner] * 3
        if wrap == 'dict':
            return dict(classes=inner, state_dict=inner)
        if wrap == 'state':  # filled through __setstate__
            return Odd((dict, (), None, iter([inner]), iter([(1, inner)])))
        if wrap == 'twice':
            return Odd((map, (Marker(marker, 2), [1])))
        return inner

    return make


__all__ = [
    'edits', 'expected_folds', 'hostile_objects', 'legacy', 'pickled',
    'repacked', 'spoils', 'text_conditioned', 'texts'
]
