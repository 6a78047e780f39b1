"""Which layers of a quantized detector stay in floating point, and why.

The rule reads an ONNX graph alone, so that it is the same for all runtimes:

- *Predictions.* The last convolutions of the head, behind which there is no
  other, and all that follows: the softmax over the distance bins, boxes,
  scores, suppression. Eight bits of a distance of up to 16 cells, or of
  logits that differ in the third digit, are a ranking lost and boxes moved;
  and a tensor of boxes beside scores would have one step for both.
- *Gates.* Max-sigmoid attention but for its convolutions: a maximum over
  all texts takes the largest rounding error, and the sigmoid multiplies
  whole groups of channels by it. The embedding of the image and the
  projection are quantized; guides that were folded into a convolution are
  a part of the gate.

Neither is where the time goes. More layers are kept by regular expressions,
and the rule can be left out.
"""
import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Set

if TYPE_CHECKING:
    import onnx

SCOPES = 'pkg.torch.onnx.name_scopes'
# What an export wraps around the detector.
WRAPPER = re.compile(r'^(raw\.)?(detector(\.|$))?')
GATE = re.compile(r'(^|\.)attn_block(\.|$)')
GUIDES = re.compile(r'\.attn_block\.peak\.conv$')
PREDICTION = 'predictions and what is made of them'
ATTENTION = 'gates of the attention'


@dataclass(frozen=True)
class Layer:
    """A node of a graph and what becomes of it."""
    node: str  # in the graph
    name: str  # of its module, as in the checkpoint, else of the node
    operator: str
    kept: Optional[str] = None  # why it stays in floating point


def layer_name(node: 'onnx.NodeProto') -> str:
    """The module of a node, as a checkpoint names it, else its own name."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            modules = ast.literal_eval(entry.value)[:-1]
            name = WRAPPER.sub('', modules[-1]) if modules else ''
            return name or node.name
    return node.name


def _before_convolutions(graph: 'onnx.GraphProto') -> Set[str]:
    """Names of the tensors that some convolution depends on."""
    needed: Set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == 'Conv' or needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _reason(node: 'onnx.NodeProto', name: str,
            needed: Set[str]) -> Optional[str]:
    if not needed.intersection(node.output):
        return PREDICTION
    if GATE.search(name) and (node.op_type != 'Conv' or GUIDES.search(name)):
        return ATTENTION
    return None


def _pattern(text: str) -> 're.Pattern':
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f'`keep` {text!r} is no regular expression: '
                         f'{error}.') from error


def plan_layers(model: 'onnx.ModelProto', keep: Sequence[str] = (),
                quantize_all: bool = False) -> List[Layer]:
    """What becomes of each node of a model in FP32, in the order of the graph.

    Layers whose names match a regular expression of ``keep`` are kept besides
    those of the rule, which ``quantize_all`` leaves out. An expression that is
    invalid or matches none is a ValueError.
    """
    needed = _before_convolutions(model.graph)
    patterns = {text: _pattern(text) for text in keep}
    unmatched = set(keep)
    layers = []
    for node in model.graph.node:
        name = layer_name(node)
        found = [text for text in keep if patterns[text].search(name)]
        unmatched.difference_update(found)
        reason = None if quantize_all else _reason(node, name, needed)
        if reason is None and found:
            reason = f'chosen by `keep` {found[0]}'
        layers.append(Layer(node.name, name, node.op_type, reason))
    if unmatched:
        names = [layer.name for layer in layers if layer.operator == 'Conv']
        raise ValueError(f'`keep` {sorted(unmatched)[0]!r} is in the name of '
                         f'no layer; expected a regular expression that is, '
                         f'such as {names[0]!r} or {names[-1]!r}.')
    return layers


def explain_layers(layers: Sequence[Layer]) -> str:
    """What is quantized, what is kept and why, as text."""
    convolutions = [layer for layer in layers if layer.operator == 'Conv']
    quantized = [layer for layer in convolutions if layer.kept is None]
    lines = [f'{len(quantized)} of {len(convolutions)} convolutions in INT8']
    reasons: Dict[str, List[str]] = {}
    for layer in layers:
        if layer.kept is not None:
            names = reasons.setdefault(layer.kept, [])
            if layer.name not in names:
                names.append(layer.name)
    for reason, names in reasons.items():
        # Nodes of no module of their own say nothing to a user.
        known = [name for name in names if '.' in name] or names
        lines.append(f'kept in FP32, {reason}: {", ".join(known)}')
    return '\n'.join(lines)
