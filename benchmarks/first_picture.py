"""From the shell to the first picture, against a bare script.

The command ``yolo-world-rep predict MODEL IMAGE --save-dir`` and a script of
onnxruntime, NumPy and OpenCV, which letterboxes, runs, suppresses and draws,
take turns, each in a process of its own; the first round warms the disk up and
is left out. Printed are the medians of time and of the memory at its greatest,
and of the ratios of the rounds. MODEL is an ONNX file of the contract
"decoded" with a square input.

    python benchmarks/first_picture.py s.onnx image.jpg --rounds 9
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

from yolo_world_rep.utils import cli

BARE = """
import sys
import cv2, numpy as np, onnxruntime
model, source, out = sys.argv[1:]
session = onnxruntime.InferenceSession(
    model, providers=['CPUExecutionProvider'])
size = session.get_inputs()[0].shape[2]
image = cv2.imread(source)
height, width = image.shape[:2]
ratio = size / max(height, width)
new = round(width * ratio), round(height * ratio)
left, top = (size - new[0]) // 2, (size - new[1]) // 2
canvas = np.full((size, size, 3), 114, np.uint8)
canvas[top:top + new[1], left:left + new[0]] = cv2.resize(image, new)
batch = np.ascontiguousarray(
    canvas[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
boxes, scores = (each[0] for each in session.run(None, {
    session.get_inputs()[0].name: batch})[:2])
best, labels = scores.max(1), scores.argmax(1)
kept = best > 0.25
boxes, best, labels = boxes[kept], best[kept], labels[kept]
sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
for i in cv2.dnn.NMSBoxesBatched(
        sides.tolist(), best.tolist(), labels.tolist(), 0.25, 0.7)[:300]:
    x, y, x2, y2 = ((boxes[i] - [left, top] * 2) / ratio).astype(int).tolist()
    cv2.rectangle(image, (x, y), (x2, y2), (0, 255, 0), 2)
    cv2.putText(
        image, f'{labels[i]} {best[i]:.2f}', (x, y), 0, 0.5, (0, 0, 255))
cv2.imwrite(out, image)
"""


def cost(command: List[str]) -> Tuple[float, float]:
    """Seconds and MiB of a process, which must succeed."""
    start = time.perf_counter()
    child = os.posix_spawn(
        command[0], command, os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(child, 0)
    if status:
        raise ValueError(f'{" ".join(command[:4])} ended with {status}')
    seconds = time.perf_counter() - start
    return seconds, usage.ru_maxrss / (1 << 20 if sys.platform == 'darwin'
                                       else 1 << 10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='exported file (.onnx)')
    parser.add_argument('image')
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'bare.py').write_text(BARE, encoding='utf-8')
        commands = dict(
            bare=[sys.executable, str(folder / 'bare.py'), args.model,
                  args.image, str(folder / 'bare.jpg')],
            predict=[sys.executable, '-m', 'yolo_world_rep_cli', 'predict',
                     args.model, args.image, '--save-dir',
                     str(folder / 'out')])
        rounds = [{key: cost(command) for key, command in commands.items()}
                  for _ in range(args.rounds + 1)][1:]
    for index, unit in enumerate(('s', 'MiB')):
        values = {key: statistics.median(each[key][index] for each in rounds)
                  for key in commands}
        ratio = statistics.median(
            each['predict'][index] / each['bare'][index] for each in rounds)
        sys.stdout.write(
            f'bare {values["bare"]:.2f} {unit}, predict '
            f'{values["predict"]:.2f} {unit}, ratio {ratio:.2f}\n')
    sys.stdout.write(
        f'{args.rounds} rounds, {os.cpu_count()} cores, load '
        f'{os.getloadavg()[0]:.1f}\n')


if __name__ == '__main__':
    cli.run(main)
