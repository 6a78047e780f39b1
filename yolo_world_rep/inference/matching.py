"""How much boxes overlap, and which belong together. Only NumPy."""
from typing import List, Tuple

import numpy as np


def box_ious(boxes_K4: np.ndarray, others_D4: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x1, y1, x2, y2 with others, (K, D)."""
    near = np.maximum(boxes_K4[:, None, :2], others_D4[None, :, :2])
    far = np.minimum(boxes_K4[:, None, 2:], others_D4[None, :, 2:])
    inter = (far - near).clip(0).prod(-1)
    areas_K, areas_D = ((each[:, 2:] - each[:, :2]).prod(-1)
                        for each in (boxes_K4, others_D4))
    union = areas_K[:, None] + areas_D[None] - inter
    return inter / np.maximum(union, 1e-9)


def pair_in_turn(worth_KD: np.ndarray) -> List[Tuple[int, int]]:
    """Pairs of a row and a column: each row takes its best free column.

    Minus infinity is where they do not go together. The first row chooses
    first, and of equal columns the first is chosen.
    """
    worth = np.array(worth_KD, float)
    pairs = []
    for row, values in enumerate(worth):
        column = int(values.argmax()) if len(values) else -1
        if column >= 0 and values[column] > -np.inf:
            worth[:, column] = -np.inf
            pairs.append((row, column))
    return pairs
