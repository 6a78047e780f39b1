"""What a training logged, unbroken or resumed."""
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from yolo_world_rep.utils.files import PathLike


class History(NamedTuple):
    """Scalars of a training.

    Args:
        steps (list[dict]): One entry a logged step, with ``step``, ``epoch``
            where it is known, ``loss``, its parts and ``lr``.
        evaluations (list[dict]): One entry an evaluation; ``step`` is the
            epoch.
    """
    steps: List[Dict[str, Any]]
    evaluations: List[Dict[str, Any]]

    def curve(self, name: str) -> Tuple[List[float], List[float]]:
        """Steps and values of a scalar of the training."""
        rows = [row for row in self.steps if name in row]
        return [row['step'] for row in rows], [row[name] for row in rows]

    def metric(self, name: str) -> Tuple[List[float], List[float]]:
        """Epochs and values of a metric."""
        rows = [row for row in self.evaluations if name in row]
        return [row['step'] for row in rows], [row[name] for row in rows]

    @property
    def losses(self) -> List[str]:
        """Names of the losses, their sum first."""
        names = {name for row in self.steps for name in row
                 if name.startswith('loss')}
        return sorted(names)


def read_history(work_dir: PathLike) -> History:
    """Read the logs of all runs of a work dir.

    A resumed run writes a log of its own. Steps that more than one run has
    are those of the later run, as are the weights.

    Args:
        work_dir (str | Path): Folder of the training.

    Returns:
        History: Its scalars, empty where nothing was logged.
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
                    steps = {n: r for n, r in steps.items()
                             if n < row['step']}
                    epoch = row.get('epoch', 0)
                    evaluations = {n: r for n, r in evaluations.items()
                                   if n < epoch}
                steps[row['step']] = row
            elif any(name.endswith('mAP') for name in row):
                evaluations[row['step']] = row
    return History([steps[n] for n in sorted(steps)],
                   [evaluations[n] for n in sorted(evaluations)])
