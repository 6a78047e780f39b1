"""Exported files whose metadata or bytes were tampered with."""
import json

import hostile
import numpy as np
import pytest
import torch
from hostile import attempt, damages, edits, inputs, scratch
from hypothesis import given
from hypothesis import strategies as st
from tiny_exports import NAMES, SIZE, Brightness, brightness_spec

from yolo_world_rep.inference import Predictor, Result, Spec
from yolo_world_rep.inference.backends.base import Backend
from yolo_world_rep.inference.spec import METADATA_FILE
from yolo_world_rep.inference.spec_checks import shapes_of

IMAGE = np.full((*SIZE, 3), 120, np.uint8)
SOUND = json.loads(brightness_spec().to_json())


@pytest.fixture(scope='module')
def module():
    return torch.jit.script(Brightness())


class Fixed(Backend):
    """Gives the same outputs always."""
    name = 'fixed'

    def __init__(self, spec, outputs):
        super().__init__(spec, 'fixed.test')
        self.outputs = outputs

    def _run(self, images):
        return self.outputs


def found(results):
    """Of a model that gives one box, whatever the metadata says."""
    for result in results:
        assert isinstance(result, Result)
        assert np.isfinite(result.boxes).all()
        assert all(name in result.names for name in result.label_names)
        if result.masks is not None:
            assert result.masks.shape == (len(result), *result.shape)


@st.composite
def changed_specs(draw):
    """One value or two of another kind, or of a close one."""
    spec = dict(SOUND)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from([*spec, 'more', 'classes']))
        spec[name] = draw(st.one_of(
            hostile.values, st.sampled_from([
                [64, 96], [10**6, 10**6], [0, 0], [63, 95], [-64, 96],
                [8, 16], [0], [10**9], 'rgb', 'bgr', 'grb', [0.] * 3,
                [1.] * 3, [1.] * 2, float('nan'), 'nms', 'raw', 0, 1, 2,
                ['../../evil'] * 3, ['/etc/passwd', 'a\nb', '[/x]'],
                ['x'] * 21_841, [], True, 10**6])))
    return spec


class TestMetadata:

    @inputs()
    @given(spec=st.one_of(changed_specs(), edits().map(
        lambda edit: edit(json.loads(json.dumps(SOUND))))))
    def test_torchscript(self, module, spec):
        try:
            text = json.dumps(spec)
        except ValueError:
            return
        with scratch() as folder:
            path = folder / 'm.torchscript'
            torch.jit.save(module, str(path),
                           _extra_files={METADATA_FILE: text})

            def predict():
                with Predictor(path) as predictor:
                    return predictor.predict(IMAGE)

            attempt('exported files: metadata', predict, folder,
                    names=['m.torchscript'], check=found)

    @inputs()
    @given(text=st.one_of(
        st.text(), st.sampled_from(
            ['[' * 10**5, '{"format": 1, "format": 1}', 'null', '1', '""',
             '{"format": 1}'])))
    def test_text(self, text):
        with scratch() as folder:
            attempt('exported files: metadata as text',
                    lambda: Spec.from_json(text, 'm.onnx'), folder,
                    names=['m.onnx'])

    @pytest.mark.parametrize(('name', 'value', 'message'), [
        ('mean', [0., 0.], 'mean='),
        ('std', [1., 0., 1.], 'std='),
        ('channel_order', 'grb', 'rgb or bgr'),
        ('resize', 'stretch', 'keep_ratio or letter'),
        ('image_size', [10**6, 10**6], 'height and width'),
        ('image_size', [64, 95], 'multiples of the largest stride'),
        ('strides', [0], 'a list of pixels'),
        ('strides', [1], 'prototypes are twice as fine'),
        ('mask_channels', -1, 'a number of coefficients'),
        ('mask_threshold', 1.5, 'from 0 to less than 1'),
        ('batch', 10**4, 'at most 268,435,456 pixels'),
        ('score_threshold', float('nan'), 'less than 1'),
        ('classes', 'cat', 'a list of names'),
    ])
    def test_what_was_taken_for_something_else(self, name, value, message):
        text = json.dumps({**SOUND, name: value, **(
            dict(image_size=[640, 640]) if name == 'batch' else
            dict(mask_channels=4) if value == [1] else {})})
        with pytest.raises(ValueError, match=message) as caught:
            Spec.from_json(text, 'm.onnx')
        assert 'm.onnx' in str(caught.value)


class TestOutputs:

    @inputs()
    @given(data=st.data())
    def test_any(self, data):
        """Whatever a model gives: detections that can be written, or none."""
        from hypothesis.extra import numpy as arrays
        contract = data.draw(st.sampled_from(['raw', 'decoded', 'nms']))
        masks = data.draw(st.sampled_from([0, 2]))
        spec = brightness_spec(contract=contract, mask_channels=masks)
        sound = data.draw(st.booleans())
        shapes = [
            tuple(3 if side is None else side for side in shape)
            for shape in shapes_of(spec, SIZE, 1)
        ]
        outputs = [
            data.draw(arrays.arrays(
                'f4' if contract != 'nms' or i not in (0, 3) else 'i4',
                shapes[i] if sound else arrays.array_shapes(
                    min_dims=1, max_dims=4, max_side=4),
                elements=st.integers(-2, 5) if contract == 'nms' and i in (
                    0, 3) else st.sampled_from(
                        [0., 0.5, 1., -3., 40., 2.**99, float('nan'),
                         float('inf'), -float('inf')])))
            for i in range(len(shapes))]
        with scratch() as folder:
            attempt('exported files: outputs',
                    lambda: Predictor(Fixed(spec, outputs)).predict(IMAGE),
                    folder, names=['fixed.test'], check=found)

    def test_other_classes_than_the_metadata_names(self, tmp_path, module):
        path = tmp_path / 'm.torchscript'
        torch.jit.save(module, str(path), _extra_files={
            METADATA_FILE: brightness_spec(classes=NAMES[:2]).to_json()})
        with Predictor(path) as predictor, pytest.raises(
                ValueError, match=r'm.torchscript: output 1 is of shape'):
            predictor.predict(IMAGE)


class TestBytes:

    @inputs()
    @given(damage=damages())
    def test_torchscript(self, module, damage):
        """Of an archive with checksums: the very model, or none."""
        with scratch() as folder:
            path = folder / 'm.torchscript'
            torch.jit.save(module, str(path), _extra_files={
                METADATA_FILE: brightness_spec().to_json()})
            path.write_bytes(damage(path.read_bytes()))

            def predict():
                with Predictor(path) as predictor:
                    return predictor.predict(IMAGE)

            def check(results):
                found(results)
                assert results[0].label_names == ['grey']
                np.testing.assert_allclose(
                    results[0].boxes, [[10, 10, 50, 40]])

            attempt('exported files: TorchScript bytes', predict, folder,
                    names=['m.torchscript'], check=check)
