"""Writes docs/images/detections.json, which docs/figures.py draws.

Run in the repository after ``make demo``:

    python docs/demo_detections.py [WORK_DIR_OF_THE_DEMO]

The images are the three of the demo's validation set with the most objects of
pairs that the training never showed. Each is made once more, to note where its
shapes lie. The detections are those of ``yolo-world-rep predict`` with the
folded model, before it is fine-tuned; of boxes in one place, which may be of
several classes, the one with the best score is kept.
"""
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from yolo_world_rep.datasets import shapes
from yolo_world_rep.demo.picture import choose_images, load_truth
from yolo_world_rep.inference.matching import box_ious
from yolo_world_rep.report.mistakes import OVERLAP

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'docs' / 'images' / 'detections.json'
CONFIG = ROOT / 'configs' / 'demo' / 'yolo_world_tiny_rep_shapes_finetune.py'
SCORE = 0.3


def drawn_shapes(index: int) -> dict:
    """The grey of the background and the shapes of a validation image."""
    with mock.patch.object(
            shapes, 'stencil', wraps=shapes.stencil) as stencil:
        scene = shapes.make_scene(shapes.all_pairs(), (0, 1, index))
    drawn = []
    calls = [call.args for call in stencil.call_args_list]
    for (x1, y1, x2, y2), name in zip(scene.boxes.tolist(), scene.names):
        # A shape that found no place was made and not drawn.
        while True:
            shape, diameter, angle = calls.pop(0)
            covered = shapes.stencil(shape, diameter, angle)
            if covered.shape == (y2 - y1, x2 - x1):
                break
        inside = scene.image[y1:y2, x1:x2][covered > 0.99].mean(0)
        drawn.append(dict(
            name=name, box=[x1, y1, x2, y2], diameter=round(diameter, 2),
            angle=round(angle, 3),
            rgb=[round(value) for value in inside[::-1].tolist()]))
    return dict(grey=round(float(scene.image.mean())), shapes=drawn)


def best_in_place(found: list) -> list:
    """Detections by falling score, without those on a better one."""
    kept: list = []
    for each in sorted(found, key=lambda each: -each['score']):
        boxes = np.array([each['bbox']] + [other['bbox'] for other in kept])
        boxes[:, 2:] += boxes[:, :2]
        if (box_ious(boxes[:1], boxes[1:]) < OVERLAP).all():
            kept.append(each)
    return kept


def main(work_dir: Path) -> None:
    folder = work_dir / 'world' / 'val'
    truths = load_truth(folder / shapes.ANNOTATION_FILE)
    chosen = choose_images(truths, shapes.unseen_pairs(), number=3)
    checkpoint, = (work_dir / 'folded').glob('*.pth')
    found = work_dir / 'detections.json'
    subprocess.run(
        [sys.executable, '-m', 'yolo_world_rep_cli', 'predict', str(CONFIG),
         *(str(truths[index].path) for index in chosen),
         '--checkpoint', str(checkpoint), '--score', str(SCORE),
         '--json', str(found)], check=True)
    detections = json.loads(found.read_text())
    pictures = []
    for index in chosen:
        picture = drawn_shapes(index)
        picture['detections'] = [
            dict(name=each['category_name'], score=round(each['score'], 2),
                 bbox=[round(value, 1) for value in each['bbox']])
            for each in best_in_place([
                each for each in detections
                if each['file_name'] == truths[index].path.name])]
        pictures.append(picture)
    FILE.write_text(json.dumps(
        dict(size=160, score=SCORE, unseen=shapes.unseen_pairs(),
             pictures=pictures), indent=1) + '\n')


if __name__ == '__main__':
    main(Path(sys.argv[1] if len(sys.argv) > 1 else 'work_dirs/demo'))
