"""Whether this processor computes what an INT8 file means.

x86 without VNNI multiplies unsigned by signed bytes with ``vpmaddubsw``, which
adds pairs of products in 16 bits and cuts off what is beyond 32,767. Two
features of 255 with weights of 127 are 64,770; with weights of at most 64,
which 7 bits hold, they are 32,640. Other processors add in 32 bits.
"""
import platform
from pathlib import Path
from typing import Optional

from .spec import Spec

#: Of weights whose sums of two products with 8 bits are within 16.
SAFE_BITS = 7
CPUINFO = Path('/proc/cpuinfo')
# As Linux names the instruction sets that add in 32 bits.
EXACT = {'avx512_vnni', 'avx_vnni'}


def has_vnni() -> Optional[bool]:
    """Whether products of 8 bits are added in 32; None if it is unknown."""
    if platform.machine().lower() not in ('x86_64', 'amd64', 'i686', 'x86'):
        return True
    try:
        lines = CPUINFO.read_text(encoding='utf-8').splitlines()
    except OSError:
        return None
    flags = [line.split() for line in lines if line.startswith('flags')]
    return all(EXACT.intersection(line) for line in flags) if flags else None


def saturation_warning(spec: Spec, path: Path) -> Optional[str]:
    """The warning about an INT8 file that may saturate here, or None."""
    if spec.precision != 'int8' or has_vnni():
        return None
    origin = spec.provenance.get('int8')
    bits = origin.get('weight_bits', 8) if isinstance(origin, dict) else 8
    if type(bits) is int and bits <= SAFE_BITS:
        return None
    return (f'{path}: INT8 with weights of 8 bits, and no VNNI is known of '
            f'in this processor, without which sums of products saturate '
            f'and detections are wrong. Quantize the model again: '
            f'yolo-world-rep export --int8 gives weights of {SAFE_BITS} '
            f'bits, which are right on every processor.')
