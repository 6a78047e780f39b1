"""Bytes of ONNX and OpenVINO files, and links from them to elsewhere."""
import pytest
from hostile import SECONDS, attempt, damages, inputs, scratch
from hypothesis import given
from hypothesis import strategies as st
from runtime_process import Runtime, detect, write_onnx, write_openvino

from yolo_world_rep.inference.seal import BLANK, MARK, seal

ENDINGS = dict(onnx=('.onnx', ), openvino=('.xml', '.bin'))


@pytest.fixture(scope='module')
def runtime():
    runtime = Runtime()
    yield runtime
    runtime.close()


@pytest.fixture(scope='module', params=sorted(ENDINGS))
def files(request, tmp_path_factory):
    """An export's files by their ending, and what they find."""
    pytest.importorskip('onnx')
    pytest.importorskip(
        'onnxruntime' if request.param == 'onnx' else 'openvino')
    folder = tmp_path_factory.mktemp(request.param)
    endings = ENDINGS[request.param]
    path = folder / f'm{endings[0]}'
    (write_onnx if request.param == 'onnx' else write_openvino)(path)
    seal([folder / f'm{ending}' for ending in endings])
    return {ending: (folder / f'm{ending}').read_bytes()
            for ending in endings}, detect(path)


@inputs(0.5)
@given(damage=damages(), place=st.integers(0, 1))
def test_bytes(files, runtime, damage, place):
    """The detections of the model that was exported, or none."""
    contents, expected = files
    endings = list(contents)
    chosen = endings[place % len(endings)]
    with scratch() as folder:
        for ending, data in contents.items():
            (folder / f'm{ending}').write_bytes(
                damage(data) if ending == chosen else data)
        path = folder / f'm{endings[0]}'

        def check(found):
            assert found == expected

        attempt(f'exported files: {endings[0][1:]} bytes',
                lambda: runtime(path, SECONDS), folder, names=['m.'],
                check=check)


@inputs(0.5)
@given(damage=damages(), place=st.integers(0, 1))
def test_bytes_with_a_checksum_that_is_right(files, runtime, damage, place):
    """Whoever means harm can compute it; OpenVINO itself dies of some."""
    contents, _ = files
    endings = list(contents)
    chosen = endings[place % len(endings)]
    with scratch() as folder:
        for ending, data in contents.items():
            (folder / f'm{ending}').write_bytes(
                damage(data) if ending == chosen else data)
        paths = [folder / f'm{ending}' for ending in endings]
        data = paths[0].read_bytes()
        paths[0].write_bytes(MARK.sub(BLANK.encode(), data))
        seal(paths)
        attempt(f'exported files: {endings[0][1:]} bytes, resealed',
                lambda: runtime(paths[0], SECONDS), folder, names=['m.'],
                known='the process died')


def test_weights_elsewhere(tmp_path, runtime):
    """An ONNX file may not read other files; old runtimes would."""
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    (tmp_path / 'secret').write_bytes(bytes(4 * 576))
    (tmp_path / 'in').mkdir()
    path = write_onnx(tmp_path / 'in' / 'm.onnx')
    (path.parent / 'link').symlink_to('../secret')
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for place in ('../secret', str(tmp_path / 'secret'), 'link'):
        del tensor.external_data[:]
        for key, value in (('location', place), ('offset', '0'),
                           ('length', str(4 * 576))):
            tensor.external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match='m.onnx has weights in another'):
            runtime(path, SECONDS)
