"""A process that opens exported files, as runtimes can take it with them."""
import multiprocessing
import resource
from pathlib import Path
from typing import Any, Tuple

import numpy as np
from tiny_exports import NAMES, SIZE, brightness_spec

#: That the process may take in all.
MEMORY = 24 << 30
SPAWN = multiprocessing.get_context('spawn')


def write_onnx(path: Path) -> Path:
    """A small model with weights in it, as an export writes it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from yolo_world_rep.deploy.onnx_file import set_metadata
    random = np.random.default_rng(0)
    weights = dict(
        weight=random.normal(size=(3, 3, 8, 8)).astype('f4') / 2000,
        bias=np.array([0.1, 0.5, -0.2], 'f4'),
        boxes=np.array([[[10, 10, 50, 40]]], 'f4'),
        shape=np.array([1, 1, 3]))
    nodes = [
        helper.make_node('Conv', ['images', 'weight', 'bias'], ['maps'],
                         kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node('GlobalAveragePool', ['maps'], ['mean']),
        helper.make_node('Reshape', ['mean', 'shape'], ['logits']),
        helper.make_node('Sigmoid', ['logits'], ['scores']),
        helper.make_node('Identity', ['boxes'], ['found'])]
    graph = helper.make_graph(
        nodes, 'tiny',
        [helper.make_tensor_value_info(
            'images', TensorProto.FLOAT, [1, 3, *SIZE])],
        [helper.make_tensor_value_info('found', TensorProto.FLOAT,
                                       [1, 1, 4]),
         helper.make_tensor_value_info('scores', TensorProto.FLOAT,
                                       [1, 1, 3])],
        [numpy_helper.from_array(value, name)
         for name, value in weights.items()])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    set_metadata(model, brightness_spec(batch=1))
    onnx.save(model, str(path))
    return path


def write_openvino(path: Path) -> Path:
    """The same in the two files of OpenVINO."""
    import openvino

    from yolo_world_rep.inference.spec import METADATA_KEY
    model = openvino.convert_model(write_onnx(path.with_suffix('.onnx')))
    model.set_rt_info(brightness_spec(batch=1).to_json(), METADATA_KEY)
    openvino.save_model(model, path, compress_to_fp16=False)
    path.with_suffix('.onnx').unlink()
    return path


def detect(path: Path) -> Tuple[list, list]:
    """Scores and names of what is found in a grey image."""
    from yolo_world_rep.inference import Predictor
    image = np.full((*SIZE, 3), 120, np.uint8)
    with Predictor(path, threads=1) as predictor:
        result = predictor.predict(image)[0]
    assert set(result.names) == set(NAMES)
    return result.scores.tolist(), result.label_names


def _serve(pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        path = pipe.recv()
        try:
            pipe.send(detect(path))
        except Exception as error:
            pipe.send(error if isinstance(error, (ValueError, OSError)) else
                      RuntimeError(repr(error)))


class Runtime:
    """Calls :func:`detect` elsewhere; started anew when that has died."""

    def __init__(self) -> None:
        self.process = self.pipe = None

    def __call__(self, path: Path, seconds: float) -> Any:
        if self.process is None or not self.process.is_alive():
            self.pipe, theirs = SPAWN.Pipe()
            self.process = SPAWN.Process(
                target=_serve, args=(theirs, ), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(path)
        try:
            answered = self.pipe.poll(seconds)
        except BaseException:
            # A late answer must not be taken for that of the next file.
            self.close()
            raise
        if not answered:
            self.close()
            raise RuntimeError('no answer')
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(
                f'the process died: {self.process.exitcode}') from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
