"""A module as an ONNX file of standard operators, and its metadata."""
import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any, Dict, Iterator, Sequence

import torch
from packaging.version import Version
from torch import nn

from yolo_world_rep.inference.spec import METADATA_KEY, Spec
from yolo_world_rep.utils.files import PathLike

from .quantization_rule import SCOPES

if TYPE_CHECKING:
    import onnx

# The first with all that is needed here, and what runtimes of today have.
DEFAULT_OPSET = 18
# A file of protobuf is no larger.
LARGEST_BYTES = 2 << 30
INPUT = 'images'
# Before it, torch writes from a trace, and no operators newer than these.
EXPORTS_PROGRAMS = Version(torch.__version__) >= Version('2.6')
NEWEST_OF_TRACE = 17


def require_onnx() -> None:
    """Import what an ONNX file is made with, or say what to install."""
    try:
        import onnx  # noqa: F401
        if EXPORTS_PROGRAMS:
            import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f'Writing ONNX needs onnx and onnxscript ({error}): '
                          f'pip install "yolo_world_rep[onnx]".') from error


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Without warnings, those of a logger included."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def _of_program(module: nn.Module, spec: Spec, names: Sequence[str],
                opset: int) -> 'onnx.ModelProto':
    axes: Dict[int, Any] = {}  # those of the input that are not fixed
    if spec.batch is None:
        axes[0] = torch.export.Dim('batch')
    if spec.dynamic:
        step = max(spec.strides)
        for axis, name in ((2, 'rows'), (3, 'columns')):
            axes[axis] = step * torch.export.Dim(name, max=2**20 // step)
    program = torch.onnx.export(
        module, (example(spec), ), dynamo=True, input_names=[INPUT],
        output_names=list(names), dynamic_shapes=(axes, ) if axes else None,
        opset_version=opset, verbose=False)
    assert program is not None  # None is of the older exporter
    return program.model_proto


def _of_trace(module: nn.Module, spec: Spec, names: Sequence[str],
              opset: int) -> 'onnx.ModelProto':
    import onnx
    from onnx import version_converter
    axes = {0: 'batch'} if spec.batch is None else {}
    if spec.dynamic:
        axes.update({2: 'rows', 3: 'columns'})
    buffer: Any = io.BytesIO()  # newer versions of torch name paths alone
    torch.onnx.export(module, (example(spec), ), buffer, input_names=[INPUT],
                      output_names=list(names), dynamic_axes={INPUT: axes},
                      opset_version=NEWEST_OF_TRACE)
    model = version_converter.convert_version(
        onnx.load_from_string(buffer.getvalue()), opset)
    _name_modules(model)
    return model


def _name_modules(model: 'onnx.ModelProto') -> None:
    """Give the nodes of a trace their modules, as those of a program have.

    A trace knows which modules were called, and of a convolution the name of
    its weight, which has the whole path.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        *scopes, kind = node.name.strip('/').split('/')
        name = '.'.join(scopes)
        if kind == 'Conv' and node.input[1] in weights:
            name = node.input[1].rpartition('.')[0] or name
        node.name = '.'.join([*scopes, kind])
        node.metadata_props.add(key=SCOPES, value=repr([name, kind]))


def example(spec: Spec) -> torch.Tensor:
    """An input to trace with; no free axis is 1 or as long as another."""
    generator = torch.Generator().manual_seed(0)
    height, width = spec.image_size
    if spec.dynamic:
        step = max(spec.strides)
        height, width = 4 * step, 6 * step
    return torch.rand(2 if spec.batch is None else spec.batch, 3, height,
                      width, generator=generator)


def to_onnx(module: nn.Module, spec: Spec, names: Sequence[str],
            opset: int = DEFAULT_OPSET) -> 'onnx.ModelProto':
    """A module of one tensor, in evaluation mode, without metadata.

    ``opset`` that the exporter cannot write is a ValueError.
    """
    require_onnx()
    if opset < DEFAULT_OPSET:
        raise ValueError(
            f'opset={opset} is too old; expected {DEFAULT_OPSET} or later, '
            f'which is what the exporter of torch writes.')
    write = _of_program if EXPORTS_PROGRAMS else _of_trace
    with torch.no_grad(), quiet('torch.onnx'):
        model = write(module, spec, names, opset)
    found = next(entry.version for entry in model.opset_import
                 if entry.domain == '')
    if found != opset:
        raise ValueError(f'opset={opset}: the exporter of torch '
                         f'{torch.__version__} wrote {found}.')
    _forget_source(model)
    return model


def _forget_source(model: 'onnx.ModelProto') -> None:
    """Drop stack traces, which are long and name folders of this machine."""
    for node in model.graph.node:
        node.doc_string = ''
        scopes = [each for each in node.metadata_props if each.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(scopes)


def halve_weights(model: 'onnx.ModelProto') -> None:
    """Store the large weights in FP16, each with a cast back to FP32.

    Runtimes cast when they load the model, and compute in FP32. Weights beyond
    the range of FP16 stay as they are.
    """
    import numpy as np
    import onnx
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(weight)
        with np.errstate(over='ignore'):
            small = values.astype(np.float16)
        if not np.isfinite(small).all():
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(small, f'{name}_fp16'))
        casts.append(
            onnx.helper.make_node(
                'Cast', [weight.name], [name], name=f'{name}_fp32',
                to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def set_metadata(model: 'onnx.ModelProto', spec: Spec) -> None:
    """Put a specification into a model, replacing an older one."""
    import onnx
    entries = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(
        model, {**entries, METADATA_KEY: spec.to_json()})


def save_onnx(model: 'onnx.ModelProto', path: PathLike) -> None:
    """Check a model and write it as one file."""
    import onnx
    size = model.ByteSize()
    if size >= LARGEST_BYTES:
        raise ValueError(
            f'The model has {size / 2**30:.1f} GiB, and one ONNX file holds '
            f'2 at most. Export it with `format=\'openvino\'`.')
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
