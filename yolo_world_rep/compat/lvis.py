"""lvis 0.5.3, the newest release, names numpy.float, which is gone.

It can go with a release of lvis that runs on numpy 1.24 and later.
"""
from typing import Any

import numpy


class _Numpy:
    """numpy as it was before 1.24."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


def mend_lvis() -> None:
    """Let LVISEval find ``np.float``; numpy itself is left alone."""
    from lvis import eval as evaluation
    if not hasattr(evaluation.np, 'float'):
        evaluation.np = _Numpy()
