"""Exported files of models with masks give the masks that the model does."""
import contextlib
import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from tiny_deploy import NAMES, SIZE, write_files

from yolo_world_rep.deploy import export, formats
from yolo_world_rep.deploy.comparison import TOLERANCES, pair_up
from yolo_world_rep.deploy.export import export_model, load_folded
from yolo_world_rep.deploy.onnx_file import set_metadata
from yolo_world_rep.deploy.quantize import average_precision
from yolo_world_rep.deploy.reference import Reference
from yolo_world_rep.deploy.verification import Verification
from yolo_world_rep.detector.loading import load_detector, read_config
from yolo_world_rep.inference import Predictor
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.inference.benchmark import compare_latency
from yolo_world_rep.inference.postprocess import Detections
from yolo_world_rep.inference.prototypes import decode_mask
from yolo_world_rep_cli.main import main

MASKS = 6
OPTIONS = dict(
    raw=dict(format='onnx', contract='raw', batch=None),
    decoded=dict(format='onnx'),
    nms=dict(format='onnx', contract='nms', batch=None),
    openvino=dict(format='openvino'),
    torchscript=dict(format='torchscript', dynamic=True, batch=2),
    any_size=dict(format='openvino', contract='nms', dynamic=True, batch=None))
SLOW = [pytest.param('any_size', marks=pytest.mark.slow)]


def write_calm_files(folder, form='rep_conv'):
    """Of scores that are not 1 to all digits, in no order."""
    files = write_files(folder, form, masks=MASKS)
    content = torch.load(files.checkpoint)
    for name, tensor in content['state_dict'].items():
        if 'cls_contrasts' in name and name.endswith('conv.weight'):
            tensor.mul_(0.1)
    torch.save(content, files.checkpoint)
    return files


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_calm_files(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def pictures():
    """Sizes whose letterboxes are odd and even, of both scales."""
    rng = np.random.default_rng(0)
    return [
        cv2.resize(
            rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), shape[::-1])
        for shape in ((70, 60), (131, 203), (40, 31))
    ]


@pytest.fixture(scope='module')
def expected(files, pictures):
    """What mmyolo finds."""
    cfg, detector, _ = load_folded(*files)
    return [Reference(cfg, detector, SIZE)(image, 0.2) for image in pictures]


def share_of_differing_pixels(result, found):
    """Of all masks together; the detections are the same."""
    own = Detections(result.boxes, result.scores, result.labels)
    pairs = pair_up(own, found.detections, TOLERANCES['fp32'])
    assert len(pairs) == len(result) == len(found.detections.scores) > 10
    one = result.masks[[index for index, _ in pairs]]
    two = np.stack([
        decode_mask(found.detections.masks[index], result.shape)
        for _, index in pairs
    ])
    assert two.any((1, 2)).mean() > 0.5
    return (one ^ two).sum() / (one | two).sum()


@pytest.fixture(scope='module')
def exported(files, tmp_path_factory, pictures):
    """Files of several forms, each made once."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = export_model(
                *files,
                tmp_path_factory.mktemp('exported'),
                images=pictures,
                **OPTIONS[name])
        return made[name]

    return make


@pytest.mark.parametrize('name', [*list(OPTIONS)[:-1], *SLOW])
def test_masks_are_those_of_pytorch(exported, pictures, expected, name):
    options, exported = OPTIONS[name], exported(name)
    report, = exported.reports
    lines = {line.what: line for line in report.differences}
    assert 0 <= lines['pixels of masks that differ, share'].worst < 1e-3
    assert lines['prototypes of masks'].worst < 1e-4
    if options.get('contract') != 'nms':
        assert lines['coefficients of masks'].worst < 1e-4
    assert report.matching.mask_union > 1000
    assert exported.spec.mask_channels == MASKS
    with Predictor(exported.path, score_threshold=0.2) as predictor:
        for result, found in zip(predictor.predict(pictures), expected):
            assert result.masks.shape == (len(result), *result.shape)
            assert share_of_differing_pixels(result, found) < 1e-3


@pytest.mark.parametrize('form', ['rep_conv', 'text_neck'])
def test_a_config_and_its_checkpoint_give_masks(tmp_path, pictures, form):
    """Fused, and where the neck takes texts, as it is."""
    trained = write_calm_files(tmp_path, form)
    with Predictor(*trained, score_threshold=0.2) as predictor:
        results = predictor.predict(pictures)
    cfg = read_config(trained.config)
    reference = Reference(cfg, load_detector(cfg, trained.checkpoint)[0], SIZE)
    for image, result in zip(pictures, results):
        found = reference(image, 0.2)
        assert share_of_differing_pixels(result, found) < 1e-3


def test_names_of_the_outputs(exported):
    """The parts of masks stand behind what files without masks have."""
    names = {}
    for contract in ('raw', 'decoded', 'nms'):
        path = exported(contract).path
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        names[contract] = [output.name for output in model.graph.output]
        with open_backend(path) as backend:
            *_, coefficients, prototypes = backend.run(
                np.zeros((1, 3, *SIZE), np.float32))
        assert prototypes.shape == (1, MASKS, SIZE[0] // 4, SIZE[1] // 4)
        assert MASKS in coefficients.shape
    assert names == dict(
        raw=[f'{kind}_{stride}' for kind in ('logits', 'distances',
                                             'coefficients')
             for stride in (8, 16, 32)] + ['prototypes'],
        decoded=['boxes', 'scores', 'coefficients', 'prototypes'],
        nms=['num_dets', 'boxes', 'scores', 'labels', 'coefficients',
             'prototypes'])


@pytest.mark.parametrize('part, line', [
    ('proto_pred.conv3.conv', 'prototypes of masks'),
    ('seg_preds.1.2', 'coefficients of masks'),
])
def test_a_wrong_file_leaves_none(files, tmp_path, monkeypatch, part, line):
    def write(detector, spec, path, opset):
        """Forgets a bias of the masks."""
        module = detector.bbox_head.head_module.get_submodule(part)
        module.bias.zero_()
        formats.write(detector, spec, path, opset)

    monkeypatch.setattr(export, 'write', write)
    with pytest.raises(ValueError, match=line):
        export_model(*files, tmp_path, 'torchscript')
    assert not list(tmp_path.iterdir())


def test_a_misread_threshold_is_noticed(files, exported, pictures, tmp_path):
    """The final masks are compared, not what they are made of alone."""
    exported = exported('decoded')
    loaded = load_folded(*files)[:2]
    model = onnx.load(exported.path)
    wrong = exported.spec.with_(mask_threshold=0.6)
    set_metadata(model, wrong)
    path = tmp_path / 'wrong.onnx'
    onnx.save(model, path)
    with pytest.raises(ValueError, match='mask_threshold'):
        Verification(*loaded, exported.spec, pictures).check(path)
    report = Verification(*loaded, wrong, pictures).check(path)
    assert report.verdict().startswith('pixels of masks that differ')


def test_test_settings_that_have_no_masks_like_these(files, tmp_path):
    for settings in ({'model.test_cfg.fast_test': False},
                     {'model.test_cfg.mask_thr_binary': None}):
        with pytest.raises(ValueError, match='model.test_cfg.fast_test=True'):
            export_model(*files, tmp_path / 'out', cfg_options=settings)
    assert not (tmp_path / 'out').exists()


def test_results_have_run_lengths(files, tmp_path, pictures):
    from pycocotools import mask as coco
    with Predictor(*files, score_threshold=0.2) as predictor:
        result = predictor.predict(pictures[0])[0]
    rows = json.loads(json.dumps(result.to_coco(1)))
    assert len(rows) == len(result) > 10
    for row, mask in zip(rows, result.masks):
        assert np.array_equal(coco.decode(row['segmentation']), mask)
    # A picture shows them, half transparent.
    image = result.image
    drawn = result.plot() != image
    inside = result.masks.any(0)
    assert drawn[inside].any(1).mean() > 0.95
    assert np.array_equal(image, pictures[0])


def test_the_commands_write_masks(exported, pictures, tmp_path, capsys):
    images = tmp_path / 'images'
    images.mkdir()
    truth = dict(
        images=[], annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(NAMES)])
    for index, image in enumerate(pictures):
        cv2.imwrite(str(images / f'{index}.png'), image)
        height, width = image.shape[:2]
        truth['images'].append(
            dict(id=index, file_name=f'{index}.png', height=height,
                 width=width))
        truth['annotations'].append(
            dict(id=index + 1, image_id=index, category_id=index, area=400,
                 bbox=[5, 5, 20, 20], iscrowd=0,
                 segmentation=[[5, 5, 25, 5, 25, 25, 5, 25]]))
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    path, rows = str(exported('decoded').path), tmp_path / 'rows.json'
    call(['predict', path, str(images), '--json', str(rows), '--save-dir',
          str(tmp_path / 'out'), '--score', '0.2'])
    found = json.loads(rows.read_text())
    assert len(found) > 10
    assert all(row['segmentation']['size'] == list(
        pictures[row['image_id']].shape[:2]) for row in found)
    assert len(list((tmp_path / 'out').iterdir())) == len(pictures)
    call(['evaluate', path, str(tmp_path / 'truth.json'), str(images),
          '--json-out', str(tmp_path / 'ap.json')])
    scores = json.loads((tmp_path / 'ap.json').read_text())
    assert {'AP', 'segm_AP', 'segm_AP50', 'segm_AP_small'} <= set(scores)
    assert 'segm_AP75' in capsys.readouterr().out


def call(words):
    """Run a command."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


def test_int8_keeps_the_ends_of_the_masks(files, tmp_path, pictures):
    pytest.importorskip('onnxruntime.quantization')
    from yolo_world_rep.deploy.quantize import quantize_model
    folder = tmp_path / 'images'
    folder.mkdir()
    for index, image in enumerate(pictures):
        cv2.imwrite(str(folder / f'{index}.png'), image)
    quantized = quantize_model(
        *files, tmp_path, 'onnx', calibration=[str(folder)], images=pictures)
    kept = {layer.name for layer in quantized.layers if layer.kept}
    head = 'bbox_head.head_module'
    assert {f'{head}.proto_pred.conv3.conv', f'{head}.seg_preds.0.2'} <= kept
    changed = {
        layer.name for layer in quantized.layers
        if layer.operator == 'Conv' and not layer.kept
    }
    assert {f'{head}.proto_pred.conv2.conv', f'{head}.seg_preds.0.1.conv'
            } <= changed
    with Predictor(quantized.path, score_threshold=0.2) as predictor:
        assert predictor.predict(pictures[0])[0].masks.any()


def test_what_int8_may_lose_is_of_the_masks(monkeypatch, tmp_path):
    scores = dict(AP=0.5, segm_AP=0.4, images=3)
    monkeypatch.setattr('yolo_world_rep.detector.evaluation.evaluate',
                        lambda *_: scores)
    monkeypatch.setattr('yolo_world_rep.inference.predictor.Predictor',
                        lambda *_, **__: contextlib.nullcontext())
    assert average_precision('a.onnx', 'a.json', tmp_path) == (40., 3)
    del scores['segm_AP']
    assert average_precision('a.onnx', 'a.json', tmp_path) == (50., 3)


def test_latencies(files, exported):
    models = [files.config, exported('decoded').path]
    found = compare_latency(models, [files.checkpoint], rounds=1, warm_up=0)
    assert [each.runtime for each in found] == ['PyTorch', 'ONNX Runtime']
