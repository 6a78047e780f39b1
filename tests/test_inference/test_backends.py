import functools
import json

import numpy as np
import pytest
import torch
from torch import nn

from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.inference.backends.base import first_line
from yolo_world_rep.inference.backends.torchscript import METADATA_FILE
from yolo_world_rep.inference.spec import METADATA_KEY

SIZE = (64, 96)
NAMES = tuple('abcdefg')
DUAL = dict(
    type='ImagePoolingAttentionModule',
    embed_channels=32,
    num_heads=4,
    pool_size=3)


def images(count=2):
    return np.random.RandomState(0).rand(count, 3, *SIZE).astype('f4')


def raw(model, inputs):
    with torch.no_grad():
        logits, boxes = model(torch.from_numpy(inputs), mode='tensor')
    return [level.numpy() for level in (*logits, *boxes)]


@pytest.mark.parametrize('form, changes', [
    ('rep_conv', {}), ('rep_linear', {}), ('text', {}), ('text_neck', {}),
    ('text', dict(dual=DUAL)), ('text_neck', dict(dual=DUAL)),
    ('rep_conv', dict(use_bn_head=False))
], ids=str)
def test_a_config_and_its_checkpoint(trained, form, changes):
    config, checkpoint, model = trained(form, **changes)
    with open_backend(config, checkpoint) as backend:
        assert backend.spec.classes == NAMES
        assert backend.spec.contract == 'raw'
        found = backend.run(images())
    expected = raw(model, images())
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected):
        np.testing.assert_allclose(
            one, other, rtol=0, atol=1e-4 * np.ptp(other))


def test_a_checkpoint_that_does_not_fit_is_refused(trained):
    config, checkpoint, _ = trained()
    content = torch.load(checkpoint)
    content['state_dict'].popitem()
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match='missing in it'):
        open_backend(config, checkpoint)


def test_prompts_may_come_from_the_configs_file(trained, tmp_path):
    path = tmp_path / 'texts.npy'
    np.save(path, np.eye(7, 64, dtype=np.float32))
    config, checkpoint, model = trained('text', embedding_path=str(path))
    content = torch.load(checkpoint)
    del content['state_dict']['embeddings']
    torch.save(content, checkpoint)
    model.embeddings.data = torch.eye(7, 64)
    with open_backend(config, checkpoint) as backend:
        found = backend.run(images())
    for one, other in zip(found, raw(model, images())):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_folded_model_runs_fused(trained):
    config, checkpoint, _ = trained()
    with open_backend(config, checkpoint) as backend:
        assert not any(
            isinstance(module, nn.BatchNorm2d)
            for module in backend.model.modules())


class Tiny(nn.Module):
    """Boxes and scores that depend on the image."""

    def forward(self, x):
        mean = x.mean((2, 3))
        boxes = mean.repeat(1, 4)[:, :12].reshape(-1, 3, 4) * 64
        return boxes, mean[:, None].repeat(1, 3, 1).sigmoid()


def tiny_spec(**changes):
    return Spec(**dict(dict(classes=NAMES[:3], image_size=SIZE), **changes))


@functools.lru_cache(None)
def onnx_bytes(batch):
    from yolo_world_rep.deploy.onnx_file import to_onnx
    model = to_onnx(
        Tiny().eval(), tiny_spec(batch=batch), ['boxes', 'scores'])
    return model.SerializeToString()


def export(folder, kind, spec, metadata=True):
    """A tiny file of a kind with our metadata."""
    text = spec.to_json() if metadata else None
    if kind == 'torchscript':
        path = folder / 'tiny.torchscript'
        files = {METADATA_FILE: text} if metadata else {}
        module = torch.jit.trace(Tiny(), (torch.rand(2, 3, *SIZE), ))
        torch.jit.save(module, str(path), _extra_files=files)
        return path
    if kind == 'onnx':
        import onnx
        model = onnx.load_from_string(onnx_bytes(spec.batch))
        if metadata:
            model.metadata_props.add(key=METADATA_KEY, value=text)
        path = folder / 'tiny.onnx'
        onnx.save(model, str(path))
        return path
    import openvino
    onnx_path = export(folder, 'onnx', spec, False)
    model = openvino.convert_model(onnx_path)
    if metadata:
        model.set_rt_info(text, METADATA_KEY)
    path = folder / 'tiny.xml'
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


KINDS = ('onnx', 'openvino', 'torchscript')


@pytest.fixture(params=KINDS)
def kind(request):
    pytest.importorskip(
        dict(onnx='onnxruntime', openvino='openvino',
             torchscript='torch')[request.param])
    return request.param


@pytest.mark.parametrize('batch', [None, 4])
def test_an_exported_file(kind, batch, tmp_path):
    spec = tiny_spec(batch=batch, classes=('ä', 'b/../c', 'd"'))
    path = export(tmp_path, kind, spec)
    with open_backend(path, threads=1, throughput=True) as backend:
        assert backend.spec == spec
        for count in (1, 3, 4):
            found = backend.run(images(count))
            expected = Tiny()(torch.from_numpy(images(count)))
            for one, other in zip(found, expected):
                np.testing.assert_allclose(one, other.numpy(), rtol=1e-4)
        first = found[0].copy()
        backend.run(images() * 0)
        np.testing.assert_array_equal(found[0], first)


def test_inputs_that_do_not_fit_are_refused(kind, tmp_path):
    with open_backend(export(tmp_path, kind, tiny_spec())) as backend:
        for bad, message in (
            (images(2), '1 image.*--batch dynamic'),
            (images(1)[0], r'expected \(B, 3, H, W\)'),
            (images(1).astype('f8'), 'expected float32'),
            (images(1)[..., :64], r'takes height and width \(64, 96\)')):
            with pytest.raises(ValueError, match=message):
                backend.run(bad)


def test_a_file_without_our_metadata_is_refused(kind, tmp_path):
    path = export(tmp_path, kind, tiny_spec(), metadata=False)
    with pytest.raises(ValueError, match='no metadata \'yolo_world_rep\''):
        open_backend(path)


def test_a_file_with_other_outputs_than_it_says_is_refused(kind, tmp_path):
    path = export(tmp_path, kind, tiny_spec(contract='raw'))
    with pytest.raises(ValueError, match='2 output.*expected 6'):
        open_backend(path)


def test_damaged_metadata_is_refused(tmp_path):
    pytest.importorskip('onnxruntime')
    import onnx
    path = export(tmp_path, 'onnx', tiny_spec())
    model = onnx.load(path)
    values = json.loads(model.metadata_props[-1].value)
    model.metadata_props[-1].value = json.dumps(dict(values, format=99))
    onnx.save(model, path)
    with pytest.raises(ValueError, match='metadata of format 99'):
        open_backend(path)


def test_a_damaged_file_is_refused(kind, tmp_path):
    path = export(tmp_path, kind, tiny_spec())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=path.name):
        open_backend(path)


def test_requests_that_contradict_the_file_are_refused(kind, tmp_path):
    path = export(tmp_path, kind, tiny_spec())
    for settings, message in (
        (dict(checkpoint='a.pth'), '`checkpoint` a.pth.*Leave it out'),
        (dict(device='tpu:9'), 'device \'tpu:9\''),
        (dict(precision='f8'), 'precision \'f8\''),
        (dict(threads=0), '`threads` 0')):
        with pytest.raises(ValueError, match=message):
            open_backend(path, **settings)
    if kind != 'openvino':
        with pytest.raises(ValueError, match='precision \'bf16\''):
            open_backend(path, precision='bf16')


@pytest.mark.parametrize(('precision', 'capability'), [
    ('bf16', 'BF16'), ('f16', 'FP16'), ('fp16', 'FP16')])
def test_openvino_computes_in_what_the_processor_has(
        precision, capability, tmp_path, monkeypatch):
    """It would take another precision, and say nothing."""
    openvino = pytest.importorskip('openvino')
    path = export(tmp_path, 'openvino', tiny_spec())

    class Core(openvino.Core):
        capabilities = ()

        def get_property(self, *args):
            if args[-1] == 'OPTIMIZATION_CAPABILITIES':
                return ['FP32', 'INT8', *self.capabilities]
            return super().get_property(*args)

    core = Core()
    monkeypatch.setattr(
        'yolo_world_rep.inference.backends.openvino._core', lambda: core)
    message = (f'^precision {precision}: the CPU has no such instructions. '
               f'Leave it out.$')
    with pytest.raises(ValueError, match=message):
        open_backend(path, precision=precision)
    with pytest.raises(ValueError, match='the AUTO has no such'):
        open_backend(path, precision=precision, device='auto')
    monkeypatch.setattr(Core, 'capabilities', (capability, ))
    with open_backend(path, precision=precision) as backend:
        assert backend.precision == precision.replace('fp', 'f')


def test_openvino_computes_in_float32_unless_told(tmp_path):
    pytest.importorskip('openvino')
    path = export(tmp_path, 'openvino', tiny_spec())
    with open_backend(path) as backend:
        assert backend.precision == 'f32'
        used = backend.compiled.get_property('INFERENCE_PRECISION_HINT')
        assert used.get_type_name() == 'f32'


@pytest.mark.parametrize('name, message', [
    ('a.pth', 'no such file'),
    ('a.txt', 'expected a file that ends in .py, .pth'),
    ('a.onnx', 'no such file'), ('a.xml', 'no such file'),
    ('a.torchscript', 'no such file'), ('a.py', 'no such file')])
def test_models_that_are_none(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        open_backend(tmp_path / name)


def test_a_config_alone_is_refused(trained):
    config, _, _ = trained()
    with pytest.raises(ValueError, match='give its `checkpoint`'):
        open_backend(config)


def test_a_checkpoint_needs_no_config(trained):
    """The file tells what a config would."""
    config, checkpoint, _ = trained(
        meta=dict(yolo_world_rep=dict(classes=NAMES)))
    with open_backend(checkpoint) as alone, open_backend(
            config, checkpoint) as with_config:
        assert alone.spec.classes == NAMES
        assert alone.spec.image_size == (640, 640)
        for pair in zip(alone.run(images()), with_config.run(images())):
            np.testing.assert_array_equal(*pair)
    with pytest.raises(ValueError, match='is a checkpoint itself'):
        open_backend(checkpoint, checkpoint)


def test_the_line_of_an_error_that_says_what():
    assert first_line(ValueError('bad input\nat line 3')) == 'bad input.'
    assert first_line(
        RuntimeError('The following operation failed in the TorchScript '
                     'interpreter.\nTraceback of TorchScript\n'
                     'RuntimeError: on two devices\n')) == (
                         'RuntimeError: on two devices.')
