"""INT8: what is kept, what is written, and what is refused."""
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import build_detector, randomize
from integer_weights import (
    convolutions_of,
    largest_pair,
    onnx_weights,
    openvino_weights,
)

from yolo_world_rep.deploy import fuse, onnx_file, quantize
from yolo_world_rep.deploy.calibration import CalibrationImages
from yolo_world_rep.deploy.outputs import as_contract, output_names
from yolo_world_rep.deploy.quantization_rule import (
    explain_layers,
    plan_layers,
)
from yolo_world_rep.deploy.suppression import INPUTS, add_suppression
from yolo_world_rep.inference import Spec
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.inference.predictor import Predictor
from yolo_world_rep.inference.seal import seal

onnx = pytest.importorskip('onnx', reason='no onnx: pip install onnx')
pytest.importorskip('onnxscript', reason='no onnxscript')
pytest.importorskip('onnxruntime', reason='no onnxruntime')

HEAD = 'bbox_head.head_module'
LAST = {f'{HEAD}.{name}' for level in range(3) for name in (
    f'cls_contrasts.{level}.conv', f'reg_preds.{level}.2')}


def exported(form='rep_conv', contract='decoded', num_classes=7,
             embed_channels=(128, 256, 512), **spec):
    """A tiny detector as an FP32 model, and its metadata."""
    model = randomize(build_detector(
        form, num_classes=num_classes, embed_channels=embed_channels))
    # Else all scores are 0 or 1.
    for contrast in model.bbox_head.head_module.cls_contrasts:
        contrast.conv.weight.data.mul_(0.2)
    meta = Spec(tuple('abcdefghijkl'[:num_classes]), (64, 96),
                contract=contract, provenance=dict(checkpoint='a.pth'),
                **spec)
    inner = 'decoded' if contract == 'nms' else contract
    names = INPUTS if contract == 'nms' else output_names(
        contract, meta.strides)
    proto = onnx_file.to_onnx(as_contract(fuse(model), inner), meta, names)
    if contract == 'nms':
        proto = add_suppression(proto, meta)
    onnx_file.set_metadata(proto, meta)
    return proto, meta


@pytest.fixture(scope='module')
def fp32():
    """An FP32 model and its metadata."""
    torch.manual_seed(0)
    return exported()


@pytest.fixture
def export(fp32):
    """What stands for export_model."""
    proto, spec = fp32

    def write(config, checkpoint, out_dir, format, **options):
        assert format == 'onnx'
        path = out_dir / 'a.onnx'
        onnx_file.save_onnx(proto, path)
        seal([path])
        return SimpleNamespace(path=path, spec=spec)

    return write


@pytest.fixture
def truth(fp32, images, tmp_path):
    """What the FP32 model finds, as a COCO file."""
    path = tmp_path / 'a.onnx'
    onnx_file.save_onnx(fp32[0], path)
    files = sorted(images.iterdir())
    with Predictor(path) as predictor:
        results = predictor.predict(files)
        rows = [row for number, result in enumerate(results)
                for row in result.to_coco(number, list(range(7)))[:20]]
    path.unlink()
    data = dict(
        images=[dict(id=number, file_name=file.name, height=50, width=80)
                for number, file in enumerate(files)],
        categories=[dict(id=number, name=name)
                    for number, name in enumerate(fp32[1].classes)],
        annotations=[
            dict(row, id=number + 1, iscrowd=0,
                 area=row['bbox'][2] * row['bbox'][3])
            for number, row in enumerate(rows)
        ])
    file = tmp_path / 'truth.json'
    file.write_text(json.dumps(data))
    return file


def run(out, format, images, export, **options):
    return quantize.quantize_model(
        'config.py', 'a.pth', out, format, calibration=[str(images)],
        calibration_count=4, export=export, **options)


# --------------------------------- the rule ---------------------------------
def test_predictions_and_gates_are_kept(fp32):
    layers = plan_layers(fp32[0])
    kept = {layer.name for layer in layers
            if layer.kept and layer.operator == 'Conv'}
    assert kept == LAST
    operators = {layer.operator for layer in layers if layer.kept}
    # The distribution of distances, the maximum over the texts, the scores.
    assert {'Softmax', 'ReduceMax', 'Sigmoid', 'Mul'} <= operators
    free = {layer.name for layer in layers
            if layer.kept is None and layer.operator == 'Conv'}
    assert 'neck.top_down_layers.0.attn_block.project.conv' in free
    assert 'backbone.image_model.stem.conv' in free


def test_guides_within_a_convolution_are_kept():
    # So few classes that the embedding goes into the guides.
    proto, _ = exported(num_classes=1, embed_channels=(256, 512, 512))
    layers = plan_layers(proto)
    guides = [layer for layer in layers
              if layer.operator == 'Conv' and '.peak.' in layer.name]
    assert guides
    for layer in guides:
        assert bool(layer.kept) == layer.name.endswith('peak.conv')


def test_suppression_is_kept():
    proto, _ = exported('rep_linear', contract='nms')
    layers = plan_layers(proto)
    assert {layer.name for layer in layers
            if layer.kept and layer.operator == 'Conv'} == LAST
    behind = [layer for layer in layers
              if layer.operator in ('NonMaxSuppression', 'TopK')]
    assert behind
    assert all(layer.kept for layer in behind)


def test_keep_and_quantize_all(fp32):
    layers = plan_layers(fp32[0], [r'image_model\.stem'])
    kept = {layer.name: layer.kept for layer in layers if layer.kept}
    assert LAST < kept.keys()
    assert kept['backbone.image_model.stem.conv'] == (
        r'chosen by `keep` image_model\.stem')
    assert r'`keep` image_model\.stem: backbone.image_model.stem.conv' in (
        explain_layers(layers))
    assert not any(
        layer.kept for layer in plan_layers(fp32[0], quantize_all=True))
    layers = plan_layers(fp32[0], [r'reg_preds\.\d\.2'], quantize_all=True)
    assert {layer.name for layer in layers if layer.kept} == {
        name for name in LAST if 'reg_preds' in name}


@pytest.mark.parametrize(('pattern', 'message'), [
    ('stemm', r"`keep` 'stemm' is in the name of no layer; .*stem\.conv"),
    ('(', r"`keep` '\(' is no regular expression"),
])
def test_pattern_that_means_nothing(fp32, pattern, message):
    with pytest.raises(ValueError, match=message):
        plan_layers(fp32[0], [pattern])


# ------------------------------ quantization --------------------------------
def check_outputs(path, fp32, images, tmp_path):
    """Similar to those in FP32, and not the same."""
    plain = tmp_path / 'plain.onnx'
    onnx_file.save_onnx(fp32[0], plain)
    batch = next(iter(CalibrationImages(sorted(images.iterdir()), fp32[1])))
    with open_backend(path) as one, open_backend(plain) as two:
        expected = two.run(batch)
        for found, wanted, other in zip(
                one.run(batch), expected, two.run(batch[..., ::-1].copy())):
            difference = np.abs(found - wanted).mean()
            # Of the same image the other way round.
            assert 0 < difference < 0.5 * np.abs(other - wanted).mean()


def quantized_with(format, monkeypatch, eight_bits):
    """Have the quantizer of a format write weights of 8 bits, or ours."""
    if not eight_bits:
        return
    if format == 'onnx':
        import onnxruntime.quantization as package
        original = package.quantize_static
        monkeypatch.setattr(
            package, 'quantize_static', lambda *args, **options: original(
                *args, **dict(options, reduce_range=False)))
        return
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix
    original = nncf.quantize

    def quantize(*args, advanced_parameters, **options):
        advanced_parameters.overflow_fix = OverflowFix.DISABLE
        return original(*args, advanced_parameters=advanced_parameters,
                        **options)

    monkeypatch.setattr(nncf, 'quantize', quantize)


@pytest.mark.parametrize('eight_bits', [False, True])
@pytest.mark.parametrize('format', ['onnx', 'openvino'])
def test_no_sum_of_two_products_leaves_16_bits(
        format, eight_bits, images, export, tmp_path, monkeypatch):
    """Nor needs VNNI; the twin is what was written before."""
    if format == 'openvino':
        pytest.importorskip('nncf', reason='no nncf')
    quantized_with(format, monkeypatch, eight_bits)
    path = run(tmp_path, format, images, export).path
    weights = (onnx_weights if format == 'onnx' else openvino_weights)(path)
    assert len(weights) > 70
    pairs = [largest_pair(each) for each in weights.values()]
    if eight_bits:
        assert np.mean(np.greater(pairs, 32767)) > 0.9
    else:
        assert max(pairs) <= 32767
        assert max(np.abs(each.astype(int)).max()
                   for each in weights.values()) in (63, 64)


def check_metadata(quantized):
    with open_backend(quantized.path) as backend:
        spec = backend.spec
    assert spec == quantized.spec
    assert spec.precision == 'int8'
    int8 = spec.provenance['int8']
    assert int8['calibration_images'] == 4
    assert int8['weight_bits'] == 7
    assert LAST < set(int8['kept'])
    assert spec.provenance['checkpoint'] == 'a.pth'


def test_onnx(fp32, images, export, tmp_path):
    out = tmp_path / 'out'
    quantized = run(out, 'onnx', images, export)
    assert [path.name for path in out.iterdir()] == ['a_int8.onnx']
    check_metadata(quantized)
    check_outputs(quantized.path, fp32, images, tmp_path)
    graph = onnx.load(str(quantized.path)).graph
    producers = {name: node for node in graph.node for name in node.output}
    weights = {
        re.sub(r'^raw\.detector\.', '', node.input[1])
        for node in graph.node
        if node.op_type == 'Conv' and node.input[1] not in producers
    }
    assert weights == {f'{name}.weight' for name in LAST}
    assert quantized.sizes[1] < 0.6 * quantized.sizes[0]
    assert 'AP is not known' in quantized.report()
    with pytest.raises(ValueError, match='a_int8.onnx exists'):
        run(out, 'onnx', images, export)


def test_openvino(fp32, images, export, tmp_path):
    pytest.importorskip('nncf', reason='no nncf')
    out = tmp_path / 'out'
    quantized = run(out, 'openvino', images, export)
    assert sorted(path.name for path in out.iterdir()) == [
        'a_int8.bin', 'a_int8.xml']
    check_metadata(quantized)
    check_outputs(quantized.path, fp32, images, tmp_path)
    kept = {layer.node for layer in quantized.layers
            if layer.kept and layer.operator == 'Conv'}
    plain = convolutions_of(quantized.path).keys() - openvino_weights(
        quantized.path).keys()
    assert {name.split('/')[0] for name in plain} == kept


@pytest.mark.parametrize('format', ['onnx', 'openvino'])
def test_a_model_that_loses_little_is_written(images, export, truth,
                                              tmp_path, format):
    if format == 'openvino':
        pytest.importorskip('nncf', reason='no nncf')
    quantized = run(tmp_path / 'out', format, images, export,
                    evaluate=(truth, images), max_ap_drop=100)
    scores = quantized.scores
    assert scores.fp32 > 50
    assert scores.images == 6
    assert f'FP32 {scores.fp32:.2f}, INT8 {scores.int8:.2f}' in (
        quantized.report())


def test_a_model_that_loses_much_is_not_left(images, export, truth,
                                             tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match='INT8 loses too much; no file'):
        run(out, 'onnx', images, export, evaluate=(truth, images),
            max_ap_drop=-100)
    assert not out.exists()


@pytest.mark.parametrize(('fp32', 'int8', 'message'), [
    (0.5, 0.5, 'too little to tell'),
    (float('nan'), float('nan'), 'too little to tell'),
    (40.0, 38.9, '1.10 points lost; at most 1 were'),
    (40.0, float('nan'), 'loses too much'),
])
def test_judgement(fp32, int8, message):
    with pytest.raises(ValueError, match=message):
        quantize.judge(quantize.Scores(fp32, int8, 9), 1.0)


def test_judgement_of_what_is_good():
    quantize.judge(quantize.Scores(40.0, 39.0, 9), 1.0)
    quantize.judge(quantize.Scores(40.0, 41.0, 9), 0.0)


def test_a_failure_leaves_an_older_file(images, export, truth, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    older = out / 'a_int8.onnx'
    older.write_bytes(b'older')
    with pytest.raises(ValueError, match='loses too much'):
        run(out, 'onnx', images, export, evaluate=(truth, images),
            max_ap_drop=-100, overwrite=True)
    assert older.read_bytes() == b'older'
    assert list(out.iterdir()) == [older]


def test_refusals(images, export, tmp_path):
    with pytest.raises(ValueError, match="`format='torchscript'`: exp"):
        run(tmp_path, 'torchscript', images, export)
    with pytest.raises(ValueError, match='`half` with INT8'):
        run(tmp_path, 'onnx', images, export, half=True)
    with pytest.raises(ValueError, match='no such file'):
        run(tmp_path, 'onnx', tmp_path / 'missing', export)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize('format', ['onnx', 'openvino'])
@pytest.mark.parametrize('settings', [
    dict(contract='raw'), dict(contract='nms'), dict(dynamic=True),
    dict(batch=None), dict(batch=3)])
def test_other_forms_run(settings, format, images, tmp_path):
    proto, spec = exported(**settings)

    def write(config, checkpoint, out_dir, format, **options):
        path = Path(out_dir) / 'a.onnx'
        onnx_file.save_onnx(proto, path)
        seal([path])
        return SimpleNamespace(path=path, spec=spec)

    quantized = run(tmp_path, format, images, write)
    with Predictor(quantized.path) as predictor:
        assert len(predictor.predict(sorted(images.iterdir()))) == 6
