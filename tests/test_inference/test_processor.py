"""INT8 files that this processor computes wrongly are named."""
import platform

import pytest

from yolo_world_rep.inference import Spec, processor
from yolo_world_rep.inference.processor import has_vnni, saturation_warning

FLAGS = 'processor\t: 0\nflags\t\t: fpu sse2 avx2 {} fma\n'
SMALL, LARGE = FLAGS.format('bmi2') * 2, FLAGS.format('avx512_vnni') * 2


@pytest.fixture
def on(tmp_path, monkeypatch):
    """Be on a processor."""

    def on(cpuinfo, machine='x86_64'):
        path = tmp_path / 'cpuinfo'
        if cpuinfo is not None:
            path.write_text(cpuinfo)
        monkeypatch.setattr(processor, 'CPUINFO', path)
        monkeypatch.setattr(platform, 'machine', lambda: machine)

    return on


@pytest.mark.parametrize(('cpuinfo', 'machine', 'expected'), [
    (SMALL, 'x86_64', False),
    (LARGE, 'x86_64', True),
    (FLAGS.format('avx_vnni'), 'x86_64', True),
    # A kind of core without it is enough.
    (LARGE + SMALL, 'x86_64', False),
    (FLAGS.format('avx512_vnni_like'), 'x86_64', False),
    ('processor : 0\n', 'x86_64', None),
    (None, 'AMD64', None),
    (None, 'arm64', True),
])
def test_processor(cpuinfo, machine, expected, on):
    on(cpuinfo, machine)
    assert has_vnni() is expected


def spec(**provenance):
    return Spec(tuple('ab'), (64, 96), precision='int8',
                provenance=provenance)


@pytest.mark.parametrize(('metadata', 'warned'), [
    (spec(int8=dict(weight_bits=7)), False),
    (spec(int8=dict(weight_bits=8)), True),
    # Of a release that did not say so, or of a stranger.
    (spec(int8=dict(quantizer='nncf 3.4')), True),
    (spec(), True),
    (spec(int8=[7]), True),
    (spec(int8=dict(weight_bits='7')), True),
    (spec().with_(precision='fp16'), False),
])
def test_warning_is_for_weights_of_eight_bits(metadata, warned, on):
    on(SMALL)
    assert bool(saturation_warning(metadata, 'a.onnx')) is warned
    on(LARGE)
    assert saturation_warning(metadata, 'a.onnx') is None


def test_what_cannot_be_told_is_said(on):
    on(None)
    assert 'no VNNI is known' in saturation_warning(spec(), 'a.onnx')
