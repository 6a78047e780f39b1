"""The weights that an INT8 file has in it."""
import numpy as np
import pytest


def onnx_weights(path):
    """Integer weights of an ONNX file by name, outputs first."""
    onnx = pytest.importorskip('onnx', reason='no onnx')
    graph = onnx.load(str(path)).graph
    stored = {each.name: onnx.numpy_helper.to_array(each)
              for each in graph.initializer}
    weights = {}
    for node in graph.node:
        if node.op_type == 'DequantizeLinear' and node.input[0] in stored:
            array = stored[node.input[0]]
            if array.dtype == np.int8:
                weights[node.input[0]] = array
    return weights


def constant_behind(convolution):
    """The node that holds the weights of an OpenVINO convolution."""
    node = convolution
    while node.get_type_name() != 'Constant':
        # The weights of a convolution, the data of what is done to them.
        number = 1 if node is convolution else 0
        node = node.input(number).get_source_output().get_node()
    return node


def convolutions_of(path):
    """The convolutions of an OpenVINO file and the constants of each."""
    openvino = pytest.importorskip('openvino', reason='no openvino')
    model = openvino.Core().read_model(path)
    return {
        node.get_friendly_name(): constant_behind(node)
        for node in model.get_ops() if node.get_type_name() == 'Convolution'
    }


def openvino_weights(path):
    """Integer weights of an OpenVINO file by name, outputs first."""
    return {
        name: constant.data
        for name, constant in convolutions_of(path).items()
        if constant.get_output_element_type(0).get_type_name() == 'i8'
    }


def largest_pair(weights):
    """The largest sum of two products with features of 8 bits.

    Such a sum has 16 bits in vpmaddubsw, which x86 without VNNI multiplies
    with; which two meet depends on how a runtime lays them out.
    """
    rows = np.sort(weights.reshape(len(weights), -1).astype(int))
    low, high = rows[:, :2].sum(1).min(), rows[:, -2:].sum(1).max()
    return 255 * max(high, -low)
