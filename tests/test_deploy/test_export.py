"""Exported files detect what the model does, or there is none."""
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_deploy import NAMES, PAD, SIZE, write_files

import yolo_world_rep
from yolo_world_rep.deploy import export, formats
from yolo_world_rep.deploy.export import (
    check_request,
    export_model,
    load_folded,
)
from yolo_world_rep.deploy.onnx_file import set_metadata
from yolo_world_rep.deploy.verification import Verification, sizes_to_check
from yolo_world_rep.detector.spec_of_config import spec_of_config
from yolo_world_rep.inference import Predictor
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.utils.files import sha256_of_file


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def raw(files, tmp_path_factory):
    """An ONNX file of the raw contract."""
    return export_model(*files, tmp_path_factory.mktemp('raw'), 'onnx',
                        contract='raw')


@pytest.fixture(scope='module')
def verification(files, raw):
    cfg, detector, _ = load_folded(*files)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)
    return Verification(cfg, detector, raw.spec, [image])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_no_paths(exported):
    """Whoever gets the file learns nothing of where it was made."""
    places = [os.fsencode(Path(place).resolve()) for place in (
        yolo_world_rep.__path__[0], sys.prefix, Path.home(),
        tempfile.gettempdir())]
    for path in exported.files:
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += map(archive.read, archive.namelist())
        assert not [place for place in places for content in contents
                    if place in content], path.name


def test_onnx(raw, files):
    assert_no_paths(raw)
    report, = raw.reports
    assert report.ok
    assert report.matching.expected == report.matching.found > 50
    assert names_in(raw.path.parent) == ['tiny_raw.onnx']
    content = raw.path.read_bytes()
    assert str(Path(yolo_world_rep.__file__).parent).encode() not in content
    assert b'site-packages' not in content
    with open_backend(raw.path) as backend:
        spec = backend.spec
    assert spec == raw.spec
    assert (spec.classes, spec.image_size, spec.pad_value, spec.channel_order,
            spec.std) == (NAMES, SIZE, PAD, 'rgb', (255., ) * 3)
    origin = spec.provenance
    assert origin['sha256'] == sha256_of_file(files.checkpoint)
    assert (origin['config'], origin['fused']) == ('tiny.py', True)


def operators(graph):
    for node in graph.node:
        yield node.domain, node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def assert_standard(path):
    """Only ONNX's own operators, nothing normalised, in one file."""
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    used = set(operators(model.graph))
    assert {domain for domain, _ in used} <= {'', 'ai.onnx'}
    assert not {'Einsum', 'BatchNormalization'} & {name for _, name in used}
    assert not any(
        weight.data_location == onnx.TensorProto.EXTERNAL
        for weight in model.graph.initializer)
    return {name for _, name in used}


def test_operators(raw):
    assert 'NonMaxSuppression' not in assert_standard(raw.path)


def test_onnx_with_suppression(tmp_path):
    """FP16 weights, matrix neck, L2 head, any number of images."""
    files = write_files(tmp_path, 'rep_linear', use_bn_head=False)
    exported = export_model(
        *files, tmp_path / 'out', 'onnx', contract='nms', half=True,
        batch=None)
    assert exported.reports[0].ok
    assert names_in(tmp_path / 'out') == ['tiny_nms_fp16.onnx']
    assert 'NonMaxSuppression' in assert_standard(exported.path)
    assert exported.path.stat().st_size < files.checkpoint.stat().st_size
    with open_backend(exported.path) as backend:
        outputs = backend.run(np.zeros((3, 3, *SIZE), np.float32))
    assert [output.shape for output in outputs] == [(3, 1), (3, 300, 4),
                                                    (3, 300), (3, 300)]


def test_suppression_as_asked_for(files, tmp_path):
    first, *others = NAMES
    settings = dict(max_detections=40, class_agnostic=True,
                    score_threshold=0.002, class_scores={first: 0.999})
    exported = export_model(*files, tmp_path, contract='nms', **settings)
    assert exported.reports[0].ok
    assert {name: getattr(exported.spec, name) for name in settings
            } == settings
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    low = dict(settings, score_threshold=None)
    with Predictor(exported.path) as own, Predictor(*files, **settings) as ref:
        one, two = own.predict(image)[0], ref.predict(image)[0]
    assert 0 < len(one) == len(two) <= 40
    assert sorted(one.labels) == sorted(two.labels)
    assert (one.scores[one.labels == 0] > 0.999).all()
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)
    for more, message in ((dict(max_detections=41), '--max-det 41'),
                          (dict(class_agnostic=False), 'export the model'),
                          (dict(class_scores={first: 0.1}), 'up to 0.999')):
        with pytest.raises(ValueError, match=message):
            Predictor(exported.path, **dict(low, **more))


@pytest.mark.slow
@pytest.mark.parametrize('contract', ['raw', 'decoded', 'nms'])
@pytest.mark.parametrize('format', ['onnx', 'openvino'])
def test_any_size(files, tmp_path, format, contract):
    exported = export_model(
        *files, tmp_path, format, contract=contract, dynamic=True, batch=None)
    assert exported.reports[0].ok
    with open_backend(exported.path) as backend:
        outputs = backend.run(np.zeros((3, 3, 32, 128), np.float32))
    assert all(len(output) == 3 for output in outputs)


def test_openvino(files, tmp_path):
    exported = export_model(*files, tmp_path, 'openvino', half=True)
    assert names_in(tmp_path) == ['tiny_fp16.bin', 'tiny_fp16.xml']
    assert [path.name for path in exported.files] == ['tiny_fp16.xml',
                                                      'tiny_fp16.bin']
    assert_no_paths(exported)
    assert exported.reports[0].runtime == 'OpenVINO'
    assert exported.reports[0].precision == 'f32'
    assert exported.files[1].stat().st_size < (
        0.6 * files.checkpoint.stat().st_size)


def test_torchscript(files, tmp_path):
    exported = export_model(
        *files, tmp_path, 'torchscript', dynamic=True, batch=2)
    assert exported.reports[0].ok
    assert_no_paths(exported)
    with open_backend(exported.path) as backend:
        assert backend.spec == exported.spec
        boxes, _ = backend.run(np.zeros((2, 3, 96, 32), np.float32))
        # What is made on the device of the export runs on no other.
        assert 'Device' not in str(backend.module.inlined_graph)
    assert boxes.shape == (2, 48 + 12 + 3, 4)


def tampered(raw, tmp_path, change):
    model = onnx.load(raw.path)
    change(model)
    path = tmp_path / 'tampered.onnx'
    onnx.save(model, path)
    return path


def test_an_untouched_file_passes(raw, verification):
    assert verification.check(raw.path).ok


@pytest.mark.parametrize('change', [
    dict(pad_value=0), dict(channel_order='bgr'),
    dict(std=(1., 1., 1.)), dict(classes=NAMES[::-1]),
    dict(iou_threshold=0.5), dict(resize='letter')
])
def test_wrong_metadata(raw, verification, tmp_path, change):
    path = tampered(
        raw, tmp_path,
        lambda model: set_metadata(model, raw.spec.with_(**change)))
    with pytest.raises(ValueError, match=next(iter(change))):
        verification.check(path)


def perturb(model, factor=1.001):
    """All convolutions of one layer by a thousandth."""
    weight = next(entry for entry in model.graph.initializer
                  if len(entry.dims) == 4 and entry.dims[2] == 3)
    values = onnx.numpy_helper.to_array(weight) * np.float32(factor)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def test_wrong_weights(raw, verification, tmp_path):
    def perturb_unsealed(model):
        perturb(model)
        set_metadata(model, raw.spec)

    with pytest.raises(ValueError, match='tampered.onnx: the checksum in it'):
        verification.check(tampered(raw, tmp_path, perturb))
    report = verification.check(tampered(raw, tmp_path, perturb_unsealed))
    assert not report.ok
    assert report.verdict().startswith('logits')


@pytest.mark.parametrize('wrong', [
    dict(pad_value=0), dict(channel_order='bgr'),
    dict(resize='letter', enlarge=False), dict(iou_threshold=0.5)
])
def test_a_misread_config(raw, files, verification, tmp_path, wrong):
    """What the metadata say is compared with what mmyolo does."""
    spec = raw.spec.with_(**wrong)
    path = tampered(raw, tmp_path, lambda model: set_metadata(model, spec))
    misled = Verification(*load_folded(*files)[:2], spec, verification.images)
    assert not misled.check(path).ok


def test_a_wrong_file_leaves_none(files, tmp_path, monkeypatch):
    def write(detector, spec, path, opset):
        """Forgets a bias."""
        detector.bbox_head.head_module.reg_preds[0][-1].bias.zero_()
        formats.write(detector, spec, path, opset)

    monkeypatch.setattr(export, 'write', write)
    older = tmp_path / 'tiny.torchscript'
    older.write_bytes(b'older')
    with pytest.raises(ValueError, match='boxes of all cells'):
        export_model(*files, tmp_path, 'torchscript', overwrite=True)
    assert names_in(tmp_path) == ['tiny.torchscript']
    assert older.read_bytes() == b'older'


def test_without_detections(tmp_path):
    files = write_files(tmp_path, shift=-30.)
    exported = export_model(*files, tmp_path, 'torchscript')
    report, = exported.reports
    assert report.matching.expected == report.matching.found == 300
    assert 'no detection above 0.05' in report.notes[0]
    with pytest.raises(ValueError, match='Give `images`'):
        export_model(*files, tmp_path / 'nms', 'onnx', contract='nms')
    assert not (tmp_path / 'nms').exists()


def test_names(tmp_path):
    """Those of a file in the place of none; as many as there are classes."""
    files = write_files(tmp_path, names=None)
    texts = tmp_path / 'texts.json'
    texts.write_text(json.dumps(list(NAMES)))
    _, detector, _ = load_folded(*files, texts=texts)
    assert detector.dataset_meta['classes'] == NAMES
    texts.write_text('["a", "b"]')
    with pytest.raises(ValueError, match='names 2 classes; expected the 3'):
        load_folded(*files, texts=texts)


@pytest.mark.parametrize(('form', 'message'), [
    ('text', 'rep reparameterize, and give the rep config'),
    ('text_neck', 'as a whole: yolo-world-rep reparameterize.')
])
def test_refuses_texts(tmp_path, form, message):
    files = write_files(tmp_path, form)
    with pytest.raises(ValueError, match=message):
        export_model(*files, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_refuses_another_checkpoint(files, tmp_path):
    text = write_files(tmp_path, 'text')
    with pytest.raises(ValueError, match='rep fold '):
        export_model(files.config, text.checkpoint, tmp_path / 'out')


def test_refuses_to_replace(files, tmp_path):
    path = tmp_path / 'tiny.onnx'
    path.write_bytes(b'older')
    with pytest.raises(ValueError, match='`overwrite=True`'):
        export_model(*files, tmp_path)
    assert path.read_bytes() == b'older'


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(format='coreml'), "format='coreml'; expected one of onnx"),
    (dict(contract='boxes'), 'expected one of raw, decoded, nms'),
    (dict(batch=0), 'batch=0'),
    (dict(precision='bf16'), 'only OpenVINO'),
    (dict(format='torchscript', contract='nms'), 'leave out `contract=.nms.`'),
    (dict(format='torchscript', half=True), 'leave out `half`'),
])
def test_refuses_what_cannot_be(changes, message):
    request = dict(
        format='onnx', contract='raw', half=False, batch=1, precision=None)
    with pytest.raises(ValueError, match=message):
        check_request(**{**request, **changes})


@pytest.mark.parametrize('size', [(64, 100), (0, 64), (64, )])
def test_refuses_other_sizes(files, tmp_path, size):
    with pytest.raises(ValueError, match='multiples of 32'):
        export_model(*files, tmp_path, 'torchscript', image_size=size)


def test_old_operators(files, tmp_path):
    with pytest.raises(ValueError, match='opset=11 is too old'):
        export_model(*files, tmp_path / 'out', opset=11)
    assert not (tmp_path / 'out').exists()


def test_a_dynamic_file_is_run_at_two_sizes(raw):
    assert sizes_to_check(raw.spec) == [SIZE]
    one, two = sizes_to_check(raw.spec.with_(dynamic=True))
    assert one == SIZE != two
    assert not any(side % 32 for side in two)


def test_nothing_of_the_model_changes(files):
    cfg, detector, _ = load_folded(*files)
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    spec = spec_of_config(cfg, detector)
    Verification(cfg, detector, spec, [np.zeros((50, 50, 3), np.uint8)])
    after = detector.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
