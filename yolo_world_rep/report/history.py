"""The log of a training, also if it was resumed."""
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from yolo_world_rep.utils.files import PathLike


class History(NamedTuple):
    """Scalars of a training; the ``step`` of an evaluation is its epoch."""
    steps: List[Dict[str, Any]]
    evaluations: List[Dict[str, Any]]

    def curve(self, name: str) -> Tuple[List[float], List[float]]:
        """Steps and values of a scalar of the training."""
        return _curve(self.steps, name)

    def metric(self, name: str) -> Tuple[List[float], List[float]]:
        """Epochs and values of a metric."""
        return _curve(self.evaluations, name)

    @property
    def losses(self) -> List[str]:
        """Names of the losses, their sum first."""
        return sorted({name for row in self.steps for name in row
                       if name.startswith('loss')})


def _curve(rows: List[Dict[str, Any]],
           name: str) -> Tuple[List[float], List[float]]:
    rows = [row for row in rows if name in row]
    return [row['step'] for row in rows], [row[name] for row in rows]


def read_history(work_dir: PathLike) -> History:
    """Read the logs of all runs of a work dir.

    Steps of several runs are those of the last, as are the weights.
    """
    steps: Dict[int, Dict[str, Any]] = {}
    evaluations: Dict[int, Dict[str, Any]] = {}
    # Folders are named after the time of their start.
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        begun = False
        for line in path.read_text(encoding='utf-8').splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            if 'loss' in row:
                if not begun:  # what an earlier run did beyond is void
                    begun = True
                    steps = {n: r for n, r in steps.items() if n < row['step']}
                    evaluations = {n: r for n, r in evaluations.items()
                                   if n < row.get('epoch', 0)}
                steps[row['step']] = row
            elif any(name.endswith('mAP') for name in row):
                evaluations[row['step']] = row
    return History([steps[n] for n in sorted(steps)],
                   [evaluations[n] for n in sorted(evaluations)])
