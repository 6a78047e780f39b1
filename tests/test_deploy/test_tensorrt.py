"""What is prepared for TensorRT."""
import runpy

import pytest

from yolo_world_rep.deploy.tensorrt import trtexec_line
from yolo_world_rep.inference import Spec

SPEC = Spec(classes=('a', ), image_size=(320, 640))


def test_a_fixed_input():
    assert trtexec_line('m/a b.onnx', SPEC) == (
        "trtexec '--onnx=m/a b.onnx' '--saveEngine=m/a b.engine' --fp16")
    assert '--fp16' not in trtexec_line('a.onnx', SPEC, half=False)


def test_ranges():
    line = trtexec_line('a.onnx', SPEC.with_(batch=None))
    assert ('--minShapes=images:1x3x320x640 --optShapes=images:1x3x320x640 '
            '--maxShapes=images:8x3x320x640') in line
    line = trtexec_line('a.onnx', SPEC.with_(batch=2, dynamic=True))
    assert '--minShapes=images:2x3x32x32' in line
    assert '--maxShapes=images:2x3x640x1280' in line


@pytest.mark.filterwarnings('ignore:.*found in sys.modules')
def test_the_builder_of_the_first_version_names_what_to_run(capsys):
    with pytest.raises(ImportError, match='trtexec --onnx=NAME.onnx'):
        from yolo_world_rep.deploy.tensorrt import build_engine  # noqa: F401
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(
            'yolo_world_rep.deploy.tensorrt', run_name='__main__')
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert 'trtexec --onnx=NAME.onnx' in said
